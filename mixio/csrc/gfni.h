/* The bit shuffle undone by GFNI, which turns an 8 x 8 matrix of bits in one instruction, and AVX-512 VBMI. */

#ifndef MIXIO_GFNI_H
#define MIXIO_GFNI_H

#include <immintrin.h>
#include <stdint.h>

#define GFNI __attribute__((target("avx512f,avx512bw,avx512vbmi,gfni")))

/* 64 bytes of each of 8 rows -> for each 8 of those 64, all rows together: (8, 8 x 8) -> (8, 8 x 8) by eights. */
GFNI static inline void gfni_eights(const uint8_t *rows, int64_t row, __m512i out[8]) {
    __m512i half[2][4];
    for (int i = 0; i < 4; i++) {
        __m512i first = _mm512_loadu_si512(rows + 2 * i * row), second = _mm512_loadu_si512(rows + (2 * i + 1) * row);
        half[0][i] = _mm512_unpacklo_epi64(first, second);
        half[1][i] = _mm512_unpackhi_epi64(first, second);
    }
    for (int odd = 0; odd < 2; odd++) {
        const __m512i *q = half[odd];
        __m512i a = _mm512_shuffle_i64x2(q[0], q[1], 0x88), b = _mm512_shuffle_i64x2(q[2], q[3], 0x88);
        __m512i c = _mm512_shuffle_i64x2(q[0], q[1], 0xdd), d = _mm512_shuffle_i64x2(q[2], q[3], 0xdd);
        out[odd] = _mm512_shuffle_i64x2(a, b, 0x88);
        out[2 + odd] = _mm512_shuffle_i64x2(c, d, 0x88);
        out[4 + odd] = _mm512_shuffle_i64x2(a, b, 0xdd);
        out[6 + odd] = _mm512_shuffle_i64x2(c, d, 0xdd);
    }
}

/* One byte of each of 512 voxels, from its eight rows; the last row comes first, as the instruction wants it. */
GFNI static inline void gfni_bits(const uint8_t *rows, int64_t row, __m512i out[8]) {
    uint8_t order[64];
    for (int i = 0; i < 64; i++) order[i] = (uint8_t)(8 * (7 - i % 8) + i / 8);
    __m512i places = _mm512_loadu_si512(order), unit = _mm512_set1_epi64((long long)0x8040201008040201ULL);
    gfni_eights(rows, row, out);
    for (int i = 0; i < 8; i++)
        out[i] = _mm512_gf2p8affine_epi64_epi8(unit, _mm512_permutexvar_epi8(places, out[i]), 0);
}

/* 512 voxels of two bytes. */
GFNI static inline void gfni_two(const uint8_t *rows, int64_t row, uint8_t *out) {
    __m512i low[8], high[8];
    uint8_t order[128];
    for (int i = 0; i < 128; i++) order[i] = (uint8_t)(i % 2 * 64 + i / 2);
    __m512i first = _mm512_loadu_si512(order), second = _mm512_loadu_si512(order + 64);
    gfni_bits(rows, row, low);
    gfni_bits(rows + 8 * row, row, high);
    for (int i = 0; i < 8; i++) {
        _mm512_storeu_si512(out + 128 * i, _mm512_permutex2var_epi8(low[i], first, high[i]));
        _mm512_storeu_si512(out + 128 * i + 64, _mm512_permutex2var_epi8(low[i], second, high[i]));
    }
}

/* 512 voxels of four bytes: pairs of bytes first, then pairs of pairs. */
GFNI static inline void gfni_four(const uint8_t *rows, int64_t row, uint8_t *out) {
    uint8_t low[1024], high[1024];
    uint16_t order[64];
    for (int i = 0; i < 64; i++) order[i] = (uint16_t)(i % 2 * 32 + i / 2);
    __m512i first = _mm512_loadu_si512(order), second = _mm512_loadu_si512(order + 32);
    gfni_two(rows, row, low);
    gfni_two(rows + 16 * row, row, high);
    for (int i = 0; i < 16; i++) {
        __m512i a = _mm512_loadu_si512(low + 64 * i), b = _mm512_loadu_si512(high + 64 * i);
        _mm512_storeu_si512(out + 128 * i, _mm512_permutex2var_epi16(a, first, b));
        _mm512_storeu_si512(out + 128 * i + 64, _mm512_permutex2var_epi16(a, second, b));
    }
}

/* Voxels `first` up to `last`, and up to 511 more on either side, of the `row` * 8 that are shuffled; row >= 64. */
GFNI static void gfni_unshuffle(const uint8_t *rows, int64_t row, uint8_t *out, int64_t width, int64_t first,
                                int64_t last) {
    for (int64_t at = first / 8; at * 8 < last; at += 64) {
        at = at > row - 64 ? row - 64 : at;
        if (width == 2)
            gfni_two(rows + at, row, out + at * 8 * width);
        else
            gfni_four(rows + at, row, out + at * 8 * width);
    }
}

#endif
