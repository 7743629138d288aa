/*
** The one function of bcryptprimitives.dll that Go's runtime wants at its start and wine 8 lacks: random bytes, which wine
** has under another name.
*/
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom() */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) {
  return SystemFunction036(data, (ULONG)size);
}
