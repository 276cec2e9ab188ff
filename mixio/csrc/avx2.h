/* The bit shuffle undone by AVX2: matrices of 8 x 8 bits are turned by exchanging bits, then pairs, then fours of them
   across the diagonal (Warren, Hacker's Delight, 7-3), 32 matrices at a time, a row of each in one register. */

#ifndef MIXIO_AVX2_H
#define MIXIO_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define AVX2 __attribute__((target("avx2")))

#define EXCHANGE(A, B, SHIFT, MASK)                                                                            \
    do {                                                                                                       \
        __m256i moved = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi16(A, SHIFT), B), _mm256_set1_epi8(MASK)); \
        B = _mm256_xor_si256(B, moved);                                                                        \
        A = _mm256_xor_si256(A, _mm256_slli_epi16(moved, SHIFT));                                              \
    } while (0)

/* 32 bytes of each of 8 rows, turned: r[i] has one byte of each of the voxels i, 8 + i, 16 + i ... */
AVX2 static inline void avx2_turn(const uint8_t *rows, int64_t row, __m256i r[8]) {
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_si256((const __m256i *)(rows + i * row));
    for (int i = 0; i < 8; i += 2) EXCHANGE(r[i], r[i + 1], 1, 0x55);
    for (int i = 0; i < 8; i += 1 + 2 * (i % 2)) EXCHANGE(r[i], r[i + 2], 2, 0x33);
    for (int i = 0; i < 4; i++) EXCHANGE(r[i], r[i + 4], 4, 0x0f);
}

/* One byte of each of 256 voxels, from its eight rows: out[i] has voxels 16 i to 16 i + 15, and 128 further on. */
AVX2 static inline void avx2_bits(const uint8_t *rows, int64_t row, __m256i out[8]) {
    __m256i r[8], twos[8], fours[8];
    avx2_turn(rows, row, r);
    for (int i = 0; i < 4; i++) {
        twos[2 * i] = _mm256_unpacklo_epi8(r[2 * i], r[2 * i + 1]);
        twos[2 * i + 1] = _mm256_unpackhi_epi8(r[2 * i], r[2 * i + 1]);
    }
    for (int half = 0; half < 2; half++)
        for (int high = 0; high < 2; high++) {
            fours[4 * half + 2 * high] = _mm256_unpacklo_epi16(twos[4 * half + high], twos[4 * half + 2 + high]);
            fours[4 * half + 2 * high + 1] = _mm256_unpackhi_epi16(twos[4 * half + high], twos[4 * half + 2 + high]);
        }
    for (int i = 0; i < 4; i++) {
        out[2 * i] = _mm256_unpacklo_epi32(fours[i], fours[4 + i]);
        out[2 * i + 1] = _mm256_unpackhi_epi32(fours[i], fours[4 + i]);
    }
}

/* 512 voxels of two bytes. Rows often lie 4096 bytes apart, where only eight of them fit into the first cache: so the
   whole cache line of eight rows is used before the other eight. */
AVX2 static inline void avx2_two(const uint8_t *rows, int64_t row, uint8_t *out) {
    __m256i low[16], high[16];
    avx2_bits(rows, row, low);
    avx2_bits(rows + 32, row, low + 8);
    avx2_bits(rows + 8 * row, row, high);
    avx2_bits(rows + 8 * row + 32, row, high + 8);
    for (int i = 0; i < 16; i++) {
        __m256i first = _mm256_unpacklo_epi8(low[i], high[i]), second = _mm256_unpackhi_epi8(low[i], high[i]);
        uint8_t *at = out + 512 * (i / 8) + 32 * (i % 8);
        _mm256_storeu_si256((__m256i *)at, _mm256_permute2x128_si256(first, second, 0x20));
        _mm256_storeu_si256((__m256i *)(at + 256), _mm256_permute2x128_si256(first, second, 0x31));
    }
}

/* 512 voxels of four bytes: pairs of bytes first, then pairs of pairs. */
AVX2 static inline void avx2_four(const uint8_t *rows, int64_t row, uint8_t *out) {
    uint8_t low[1024], high[1024];
    avx2_two(rows, row, low);
    avx2_two(rows + 16 * row, row, high);
    for (int i = 0; i < 32; i++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(low + 32 * i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(high + 32 * i));
        __m256i first = _mm256_unpacklo_epi16(a, b), second = _mm256_unpackhi_epi16(a, b);
        _mm256_storeu_si256((__m256i *)(out + 64 * i), _mm256_permute2x128_si256(first, second, 0x20));
        _mm256_storeu_si256((__m256i *)(out + 64 * i + 32), _mm256_permute2x128_si256(first, second, 0x31));
    }
}

/* Voxels `first` up to `last`, and up to 511 more on either side, of the `row` * 8 that are shuffled; row >= 64. */
AVX2 static void avx2_unshuffle(const uint8_t *rows, int64_t row, uint8_t *out, int64_t width, int64_t first,
                                int64_t last) {
    for (int64_t at = first / 8; at * 8 < last; at += 64) {
        at = at > row - 64 ? row - 64 : at;
        if (width == 2)
            avx2_two(rows + at, row, out + at * 8 * width);
        else
            avx2_four(rows + at, row, out + at * 8 * width);
    }
}

#endif
