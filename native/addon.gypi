# The addon's sources and flags. Paths are relative to this folder. Two files include it: binding.gyp (in a clone) and native/binding.gyp
# (published).
{
  'variables': {
    'sanitize%': '',
    # scripts/prebuild.sh sets this for the binaries that go into the package.
    'prebuild%': ''
  },
  'targets': [
    {
      'target_name': 'fastify_ticket_keys',
      'sources': [
        'binding/addon.cc',
        'binding/crypto.cc',
        'binding/context_capture.cc',
        'binding/js_callback.cc',
        'binding/js_function.cc',
        'binding/manager_binding.cc',
        'binding/manager_revocations.cc',
        'binding/session_data.cc',
        'keys/counters.cc',
        'keys/key_ring.cc',
        'keys/revocations.cc',
        'keys/secret_memory.cc',
        'keys/ticket_manager.cc',
        'tls/attached_context.cc',
        'tls/client_hello.cc',
        'tls/client_policies.cc',
        'tls/client_trust.cc',
        'tls/ssl_state.cc',
        'tls/ticket_callbacks.cc',
        'tls/ticket_crypto.cc',
        'tls/ticket_data.cc',
        'tls/ticket_policy.cc'
      ],
      'include_dirs': ['.', "<!@(node -p \"require('node-addon-api').include_dir\")"],
      # SWALLOW: worker.terminate() may end a thread inside JavaScript that the addon calls. That must not end the process.
      'defines': [
        'NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED',
        'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
        'OPENSSL_API_COMPAT=30000', 'OPENSSL_NO_DEPRECATED'
      ],
      'cflags': ['-Wall', '-Wextra', '-fvisibility=hidden', '-ffunction-sections', '-fdata-sections'],
      'cflags_cc': ['-std=c++17', '-fvisibility-inlines-hidden'],
      # -Os: with -O3 the binary is two and a half times as large, because node-addon-api is all inline. The time of a
      # handshake is OpenSSL's.
      'configurations': { 'Release': { 'cflags!': ['-O3'], 'cflags': ['-Os'] } },
      'conditions': [
        ["OS=='linux'", {
          # nodelete: OpenSSL keeps pointers to our callbacks after the worker thread that loaded the addon has ended.
          # now: on a runtime without OpenSSL 3, loading fails with an error. With lazy binding the first handshake would crash.
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
          # Warnings are errors here only: a user's newer compiler may know more warnings. The other flags make the binary smaller.
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
