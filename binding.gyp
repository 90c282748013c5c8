{
  'variables': {
    'sanitize%': '',
    # Set by scripts/prebuild.sh, for the binaries that go into the package.
    'prebuild%': ''
  },
  'targets': [
    {
      'target_name': 'fastify_ticket_keys',
      'sources': [
        'native/binding/addon.cc',
        'native/binding/context_capture.cc',
        'native/binding/js_callback.cc',
        'native/binding/manager_binding.cc',
        'native/keys/counters.cc',
        'native/keys/key_ring.cc',
        'native/keys/secret_memory.cc',
        'native/keys/ticket_manager.cc',
        'native/tls/attached_context.cc',
        'native/tls/client_hello.cc',
        'native/tls/client_trust.cc',
        'native/tls/ssl_state.cc',
        'native/tls/ticket_callbacks.cc',
        'native/tls/ticket_crypto.cc',
        'native/tls/ticket_data.cc',
        'native/tls/ticket_policy.cc'
      ],
      'include_dirs': ['native', "<!@(node -p \"require('node-addon-api').include_dir\")"],
      # SWALLOW: a thread may be ended in the middle of JavaScript that we call, which must not end the process.
      'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS', 'OPENSSL_API_COMPAT=30000', 'OPENSSL_NO_DEPRECATED'],
      'cflags': ['-Wall', '-Wextra', '-fvisibility=hidden', '-ffunction-sections', '-fdata-sections'],
      'cflags_cc': ['-std=c++17', '-fvisibility-inlines-hidden'],
      # For size: node-addon-api is all inline, and -O3 makes the binary two and a half times as large. Handshakes spend their time in OpenSSL.
      'configurations': { 'Release': { 'cflags!': ['-O3'], 'cflags': ['-Os'] } },
      'conditions': [
        ["OS=='linux'", {
          # nodelete: OpenSSL keeps pointers to our callbacks after the Worker that loaded them is gone.
          # now: a runtime without OpenSSL 3 gives a loader error, not a crash at the first handshake.
          'ldflags': ['-Wl,-z,nodelete', '-Wl,-z,now', '-Wl,-z,relro', '-Wl,--gc-sections']
        }],
        ["OS=='mac'", {
          'xcode_settings': {
            'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
            'GCC_OPTIMIZATION_LEVEL': 's',
            'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
            'MACOSX_DEPLOYMENT_TARGET': '11.0',
            'OTHER_LDFLAGS': ['-Wl,-dead_strip'],
            'WARNING_CFLAGS': ['-Wall', '-Wextra']
          }
        }],
        ["prebuild!=''", {
          # Not for users, whose newer compilers may warn of more. The rest is for size: there are no exceptions to unwind, and on arm64 the code
          # has to fit a page of 64 KiB, or the file grows by another.
          'cflags': ['-Werror', '-flto', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'],
          'ldflags': ['-flto', '-Os'],
          'xcode_settings': { 'GCC_TREAT_WARNINGS_AS_ERRORS': 'YES', 'LLVM_LTO': 'YES' }
        }],
        ["sanitize!=''", {
          'cflags': ['-fsanitize=<(sanitize)', '-fno-omit-frame-pointer', '-g'],
          'ldflags': ['-fsanitize=<(sanitize)']
        }]
      ]
    }
  ]
}
