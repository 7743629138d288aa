{
  "targets": [
    {
      "target_name": "pagewire",
      "sources": [
        "napi/module.c",
        "napi/mailbox.c",
        "napi/params.c",
        "napi/result.c",
        "napi/ops.c",
        "napi/point.c",
        "napi/batch.c",
        "napi/calls.c",
        "napi/port.c"
      ],
      "include_dirs": ["internal/sqlite"],
      "defines": ["NAPI_VERSION=8"],
      "conditions": [
        ["OS=='linux'", {
          "defines": ["_GNU_SOURCE"],
          "cflags": ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden"],
          "cflags!": ["-fno-omit-frame-pointer"],
          "libraries": ["-ldl", "-lpthread"],
          "ldflags": ["-Wl,-z,relro,-z,now"]
        }],
        ["OS=='mac'", {
          "xcode_settings": {
            "MACOSX_DEPLOYMENT_TARGET": "11.0",
            "GCC_C_LANGUAGE_STANDARD": "c11",
            "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
            "GCC_OPTIMIZATION_LEVEL": "2",
            "WARNING_CFLAGS": ["-Wall", "-Wextra"],
            "OTHER_LDFLAGS": ["-Wl,-undefined,dynamic_lookup"]
          }
        }],
        ["OS=='win'", {
          "win_delay_load_hook": "true",
          "defines": ["WIN32_LEAN_AND_MEAN", "_CRT_SECURE_NO_WARNINGS"],
          "msvs_settings": {
            "VCCLCompilerTool": {
              "WarningLevel": 3,
              "AdditionalOptions": ["/std:c11"]
            }
          }
        }]
      ]
    }
  ]
}
