/* Undoes blosc's bit shuffle, by the best instructions that the processor has.

   Shuffled, n voxels of b bytes are 8 b rows of n bits: row r holds bit r % 8 of byte r / 8 of every voxel. Eight rows
   times eight voxels are a matrix of bits that is to be turned. blosc as it comes with numcodecs does this with SSE2,
   several times slower, and then it costs more than all the rest of reading a patch. */

#ifndef MIXIO_BITS_H
#define MIXIO_BITS_H

#include <stdint.h>

/* What undoes it: nothing, AVX2, or GFNI. */
enum { NOTHING, BY_AVX2, BY_GFNI };

#if defined(__x86_64__) && defined(__GNUC__)
#include "avx2.h"
#include "gfni.h"

static int best_way(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("gfni"))
        return BY_GFNI;
    return __builtin_cpu_supports("avx2") ? BY_AVX2 : NOTHING;
}

/* Voxels `first` up to `last`, and some on either side, of the `row` * 8 of `width` 2 or 4 bytes; row >= 64. */
static void unshuffle(int way, const uint8_t *rows, int64_t row, uint8_t *out, int64_t width, int64_t first,
                      int64_t last) {
    if (way == BY_GFNI)
        gfni_unshuffle(rows, row, out, width, first, last);
    else
        avx2_unshuffle(rows, row, out, width, first, last);
}

#else

static int best_way(void) { return NOTHING; }

static void unshuffle(int way, const uint8_t *rows, int64_t row, uint8_t *out, int64_t width, int64_t first,
                      int64_t last) {
    (void)way, (void)rows, (void)row, (void)out, (void)width, (void)first, (void)last;
}

#endif
#endif
