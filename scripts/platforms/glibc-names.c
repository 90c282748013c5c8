/* Defines the glibc functions that Debian's libstdc++ and libgcc_s need to run with musl. A Node.js for musl needs both
 * libraries. Alpine has builds of them for musl, but Debian does not. Only scripts/platforms.sh uses this file. The
 * addon itself needs neither library.
 *
 * Compile this file with glibc's headers: libstdc++ and libgcc_s expect the layouts of glibc. Link it without any
 * library: musl is already in the process. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;

/* libgcc_s exports both symbols with a hidden version, so musl does not find them. */
unsigned __cpu_model[4];
int __cpu_indicator_init(void) { return 0; }

uint32_t arc4random(void) {
  uint32_t value;
  while (getrandom(&value, sizeof value, 0) != sizeof value) continue;
  return value;
}

size_t __strftime_l(char *out, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(out, size, format, time, locale);
}

/* A list of the destructors of thread_local objects. */
struct destructor {
  void (*run)(void *);
  void *object;
  struct destructor *next;
};
static pthread_key_t destructors;
static pthread_once_t destructors_once = PTHREAD_ONCE_INIT;

static void run_destructors(void *list) {
  struct destructor *entry = list;
  while (entry != NULL) {
    struct destructor *next = entry->next;
    entry->run(entry->object);
    free(entry);
    entry = next;
  }
}

static void make_key(void) { pthread_key_create(&destructors, run_destructors); }

int __cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library) {
  (void)library;
  pthread_once(&destructors_once, make_key);
  struct destructor *entry = malloc(sizeof *entry);
  if (entry == NULL) return -1;
  *entry = (struct destructor){run, object, pthread_getspecific(destructors)};
  return pthread_setspecific(destructors, entry);
}

/* Finds the library that contains an address, and the unwind table of that library. */
struct search {
  uintptr_t address;
  struct dl_find_object *result;
};

static int examine(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  const struct search *search = data;
  uintptr_t start = UINTPTR_MAX, end = 0, table = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &info->dlpi_phdr[i];
    uintptr_t base = info->dlpi_addr + header->p_vaddr;
    if (header->p_type == PT_LOAD && base < start) start = base;
    if (header->p_type == PT_LOAD && base + header->p_memsz > end) end = base + header->p_memsz;
    if (header->p_type == PT_GNU_EH_FRAME) table = base;
  }
  if (table == 0 || search->address < start || search->address >= end) return 0;
  memset(search->result, 0, sizeof *search->result);
  search->result->dlfo_map_start = (void *)start;
  search->result->dlfo_map_end = (void *)end;
  search->result->dlfo_eh_frame = (void *)table;
  return 1;
}

int _dl_find_object(void *address, struct dl_find_object *result) {
  struct search search = {(uintptr_t)address, result};
  return dl_iterate_phdr(examine, &search) == 1 ? 0 : -1;
}

/* libstdc++ reads a locale_t with glibc's layout. musl reads only the first 6 pointers. In the C locale, these pointers
 * are null in both layouts. */
static struct __locale_struct c_locale;

static locale_t the_locale(void) {
  if (c_locale.__ctype_b == NULL) {
    c_locale.__ctype_tolower = *__ctype_tolower_loc();
    c_locale.__ctype_toupper = *__ctype_toupper_loc();
    for (int i = 0; i < 13; i++) c_locale.__names[i] = "C";
    c_locale.__ctype_b = *__ctype_b_loc();
  }
  return &c_locale;
}

locale_t newlocale(int mask, const char *name, locale_t base) { return (void)mask, (void)name, (void)base, the_locale(); }
locale_t __newlocale(int mask, const char *name, locale_t base) { return newlocale(mask, name, base); }
locale_t duplocale(locale_t locale) { return locale; }
locale_t __duplocale(locale_t locale) { return locale; }
void freelocale(locale_t locale) { (void)locale; }
void __freelocale(locale_t locale) { (void)locale; }

/* std::string's member _M_replace_cold of GCC 13, for a Node.js that was built with GCC 13. Replaces `old_size` bytes
 * at `at` with `size` bytes from `from`, which may be in the same string. `tail` bytes follow the replaced bytes. */
void replace_cold(void *string, char *at, size_t old_size, const char *from, size_t size, size_t tail)
    __asm__("_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm");
void replace_cold(void *string, char *at, size_t old_size, const char *from, size_t size, size_t tail) {
  (void)string;
  if (size <= old_size) memmove(at, from, size);
  memmove(at + size, at + old_size, tail);
  if (size <= old_size) return;
  if (from + size <= at + old_size) {
    memmove(at, from, size);
  } else if (from >= at + old_size) {
    memmove(at, from + (size - old_size), size);
  } else {
    size_t before = (size_t)(at + old_size - from);
    memmove(at, from, before);
    memmove(at + before, at + size, size - before);
  }
}
