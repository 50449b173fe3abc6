// GCC 12's AMX intrinsics keep from the optimiser what they read: _tile_loadconfig names 8 of its 64 bytes, _tile_loadd
// none of its tile. What was to be read may then never be written, and ggml's server dies of a configuration that was on
// the stack. build.sh has every C++ file include this first where it finds that to be so.
#pragma once
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg\t%X0" ::"m"(*(const char(*)[64])(config)))
#undef _tile_loadd
#define _tile_loadd(tile, base, stride) _tile_loadd_named(tile, base, stride)
#define _tile_loadd_named(tile, base, stride)                                                        \
    __asm__ volatile("{tileloadd\t(%0,%1,1), %%tmm" #tile "|tileloadd\t%%tmm" #tile ", [%0+%1*1]}"   \
                     ::"r"((const void *)(base)), "r"((long)(stride))                                \
                     : "memory")
