// The parts of the C++ runtime that the Linux binary needs (native/portable.gypi). With
// libstdc++.so, the binary would need a recent GCC on the user's system. libstdc++.a would bring
// glibc's versioned symbols. The addon neither throws nor catches exceptions.
//
// The binary shares only these types with the C library: a zeroed pthread_mutex_t, struct timespec,
// struct tm. On 64-bit processors, their layout is the same in glibc and musl.

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

// The headers of libstdc++ expect this class in the library. The library's own copy needs
// exceptions, so this file has another copy.
template class std::basic_string<char>;

namespace {

// Ends the process, as an uncaught exception does.
[[noreturn]] void Fail(const char* what) {
  const char kPrefix[] = "fastify-ticket-keys: ";
  // Abort even if the message cannot be written.
  if (write(STDERR_FILENO, kPrefix, sizeof(kPrefix) - 1) < 0 ||
      write(STDERR_FILENO, what, std::strlen(what)) < 0 || write(STDERR_FILENO, "\n", 1) < 0) {
    std::abort();
  }
  std::abort();
}

void* TryAllocate(std::size_t size) { return std::malloc(size == 0 ? 1 : size); }

void* Allocate(std::size_t size) {
  void* memory = TryAllocate(size);
  if (memory == nullptr) Fail("out of memory");
  return memory;
}

}  // namespace

// glibc 2.32 and later have this variable: it is true if the process has only one thread. Other C
// libraries do not have it. Node.js always has several threads.
extern "C" char __libc_single_threaded;
char __libc_single_threaded = 0;

const std::nothrow_t std::nothrow{};

void* operator new(std::size_t size) { return Allocate(size); }
void* operator new[](std::size_t size) { return Allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return TryAllocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return TryAllocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

// libstdc++'s headers call these functions instead of throwing.
namespace std {
void __throw_bad_alloc() { Fail("out of memory"); }
void __throw_bad_array_new_length() { Fail("out of memory"); }
void __throw_length_error(const char* what) { Fail(what); }
void __throw_logic_error(const char* what) { Fail(what); }
void __throw_out_of_range_fmt(const char* what, ...) { Fail(what); }
void __throw_system_error(int) { Fail("a mutex failed"); }
void __throw_bad_function_call() { Fail("an empty std::function was called"); }

// Returns whether a type is the type of the tag. Only code with RTTI calls this function, and the
// addon has no RTTI.
bool _Sp_make_shared_tag::_S_eq(const type_info&) noexcept { return false; }
}  // namespace std

extern "C" {

void __cxa_pure_virtual() { Fail("a pure virtual function was called"); }

// Initializes a static variable of a function exactly once, also when several threads call the
// function at the same time (Itanium C++ ABI, section 3.3.3). The compiler reads the first byte of
// the guard: 1 means initialized.
constexpr std::uint64_t kInitialized = 1;
constexpr std::uint64_t kRunning = 1 << 8;
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte of a guard is its lowest");
static_assert(sizeof(std::atomic<std::uint64_t>) == sizeof(std::uint64_t));

int __cxa_guard_acquire(std::atomic<std::uint64_t>* guard) {
  for (;;) {
    std::uint64_t state = 0;
    if (guard->compare_exchange_strong(state, kRunning, std::memory_order_acquire)) return 1;
    if (state == kInitialized) return 0;
    // Initializations in the addon never block, so the wait is short.
    sched_yield();
  }
}

void __cxa_guard_release(std::atomic<std::uint64_t>* guard) {
  guard->store(kInitialized, std::memory_order_release);
}

}  // extern "C"
