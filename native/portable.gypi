# Makes one Linux binary for glibc and musl. scripts/prebuild.sh builds with these settings. Only the repository's binding.gyp
# includes this file: a user who builds from source gets an ordinary shared library.
#
# The binary names no library and no symbol version. All that it needs is in the process already: Node.js, OpenSSL, and the
# functions that both C libraries have (scripts/check-symbols.js).
{
  'target_defaults': {
    'conditions': [
      ["OS=='linux' and prebuild!=''", {
        'sources': ['portable/cxx_runtime.cc'],
        # With this definition, glibc's headers would ask for mmap64, which musl dropped.
        'defines!': ['_FILE_OFFSET_BITS=64'],
        # glibc's checked functions (__memcpy_chk) are not in musl.
        'cflags': ['-U_FORTIFY_SOURCE'],
        # No C library: a symbol that the linker finds in a library gets that library's version. libstdc++.a: std::map's tree
        # and the clock. -z defs is not possible, so scripts/check-symbols.js checks what is undefined.
        'ldflags': ['-nodefaultlibs', '-Wl,--version-script=<(module_root_dir)/native/portable/exports.map'],
        'libraries': ['-l:libstdc++.a', '-lgcc'],
        'conditions': [
          # Otherwise libgcc.a's atomics ask glibc, by a private function, what the processor can do.
          ["target_arch=='arm64'", { 'cflags': ['-mno-outline-atomics'] }]
        ]
      }]
    ]
  }
}
