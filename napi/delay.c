/*
** Where the functions of Node-API are on Windows: in the program that runs, be
** it called node.exe, bun.exe or otherwise. node-gyp has a hook like this one
** for Microsoft's compiler; this one is for mingw's.
*/
#if defined(_WIN32) && !defined(_MSC_VER)

#include <windows.h>

#include <delayimp.h>

static FARPROC WINAPI find_host(unsigned event, PDelayLoadInfo info) {
  if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return NULL;
  return (FARPROC)(void *)GetModuleHandleW(NULL);
}

PfnDliHook __pfnDliNotifyHook2 = find_host;

#else

typedef int delay_is_for_mingw; /* ISO C forbids an empty file */

#endif
