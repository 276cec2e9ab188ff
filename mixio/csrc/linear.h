/* Stored voxels to model input: clip(voxel * scale + offset, 0, 1) as float.

   The product and the sum are rounded to float one after the other (no fused multiply-add: -ffp-contract=off), which is
   what normalize.py does, so that both agree to the last bit. */

#ifndef MIXIO_LINEAR_H
#define MIXIO_LINEAR_H

#include <stdint.h>

/* One machine code per processor generation, chosen when the library is loaded, where the loader can do that. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

#define DEFINE_LINEAR(NAME, TYPE)                                                                              \
    WIDE static void NAME(const void *from, float *to, int64_t count, float scale, float offset) {             \
        const TYPE *voxels = from;                                                                             \
        for (int64_t i = 0; i < count; i++) {                                                                  \
            float value = (float)voxels[i] * scale;                                                            \
            value = value + offset;                                                                            \
            value = value < 0.0f ? 0.0f : value;                                                               \
            to[i] = value > 1.0f ? 1.0f : value;                                                               \
        }                                                                                                      \
    }

DEFINE_LINEAR(linear_i8, int8_t)
DEFINE_LINEAR(linear_u8, uint8_t)
DEFINE_LINEAR(linear_i16, int16_t)
DEFINE_LINEAR(linear_u16, uint16_t)
DEFINE_LINEAR(linear_i32, int32_t)
DEFINE_LINEAR(linear_u32, uint32_t)
DEFINE_LINEAR(linear_f32, float)
DEFINE_LINEAR(linear_f64, double)
#ifdef __FLT16_MAX__
DEFINE_LINEAR(linear_f16, _Float16)
#endif

typedef void (*linear_function)(const void *, float *, int64_t, float, float);

/* In the order of TYPES in native.py. */
static const linear_function LINEAR[] = {linear_i8,  linear_u8,  linear_i16, linear_u16,
                                         linear_i32, linear_u32, linear_f32, linear_f64,
#ifdef __FLT16_MAX__
                                         linear_f16,
#endif
};

#endif
