/* Usage: host STUBS BINARY. Loads the addon's binary into a process with musl, as Node.js would. STUBS is a library
 * with a stub for every Node.js function that the binary needs. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

int main(int count, char **arguments) {
  if (count != 3 || dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL) == NULL) {
    puts(count == 3 ? dlerror() : "Usage: host STUBS BINARY");
    return 1;
  }
  void *binary = dlopen(arguments[2], RTLD_NOW);
  if (binary == NULL) {
    puts(dlerror());
    return 1;
  }
  int32_t (*version)(void) = (int32_t (*)(void))dlsym(binary, "node_api_module_get_api_version_v1");
  if (version == NULL || dlsym(binary, "napi_register_module_v1") == NULL) {
    puts("it is not an addon");
    return 1;
  }
  printf("it loads; Node-API %d\n", version());
  return version() == 8 ? 0 : 1;
}
