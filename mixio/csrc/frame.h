/* Decodes one chunk, a blosc frame (c-blosc, README_CHUNK_FORMAT.rst), as far as it is wanted.

   Frames of lz4 with the bit shuffle, which is what stores hold, are taken apart here, because undoing the shuffle is
   what costs blosc most (bits.h). All others, and all on other processors, are left to blosc. Functions return 0 where
   a frame is not as it must be. */

#ifndef MIXIO_FRAME_H
#define MIXIO_FRAME_H

#include <stdint.h>
#include <string.h>

#include "bits.h"

typedef uint32_t (*crc32c_function)(const uint8_t *data, size_t length);
typedef int (*getitem_function)(const void *source, int start, int count, void *target);
typedef int (*decompress_function)(const void *source, void *target, size_t size, int threads);
typedef int (*lz4_function)(const char *source, char *target, int length, int size);

/* Functions of the libraries that Python has loaded already. */
typedef struct {
    crc32c_function crc32c;
    getitem_function getitem;
    decompress_function decompress;
    lz4_function lz4;
} Library;

typedef struct {
    const uint8_t *bytes;
    int64_t length, nbytes, blocksize;
} Frame;

enum { BLOSC_HEADER = 16, STORED = 2, BIT_SHUFFLED = 4, NOT_SPLIT = 16, LZ4 = 1 << 5, FORMATS = 7 << 5 };

static uint32_t little(const uint8_t *four) {
    return (uint32_t)four[0] | (uint32_t)four[1] << 8 | (uint32_t)four[2] << 16 | (uint32_t)four[3] << 24;
}

/* Whether this file can decode it: one block, of whole rows of bits. */
static int is_ours(const Frame *frame, int64_t itemsize) {
    int flags = frame->bytes[2] & (STORED | BIT_SHUFFLED | FORMATS);
    int whole = frame->blocksize == frame->nbytes && frame->nbytes % (8 * itemsize) == 0;
    return flags == (BIT_SHUFFLED | LZ4) && (itemsize == 2 || itemsize == 4) && whole &&
           frame->nbytes >= 512 * itemsize && best_way() != NOTHING;
}

/* One stream, its length before it, to `size` bytes; returns where the next begins, NULL if it is not as it must be. */
static const uint8_t *stream(const Library *library, const Frame *frame, const uint8_t *at, uint8_t *target,
                             int64_t size) {
    const uint8_t *end = frame->bytes + frame->length;
    if (end - at < 4) return NULL;
    int64_t length = (int32_t)little(at);
    at += 4;
    if (length <= 0 || length > end - at) return NULL;
    if (length == size)
        memcpy(target, at, (size_t)size);
    else if (library->lz4((const char *)at, (char *)target, (int)length, (int)size) != size)
        return NULL;
    return at + length;
}

/* The shuffled bytes of a frame's one block: a stream for each byte of a voxel, or one for all. */
static int shuffled(const Library *library, const Frame *frame, int64_t itemsize, uint8_t *rows) {
    int64_t streams = frame->bytes[2] & NOT_SPLIT ? 1 : itemsize, size = frame->nbytes / streams;
    if (frame->length < BLOSC_HEADER + 4) return 0;
    int64_t offset = (int32_t)little(frame->bytes + BLOSC_HEADER);
    if (offset < BLOSC_HEADER || offset > frame->length) return 0;
    const uint8_t *at = frame->bytes + offset;
    for (int64_t i = 0; i < streams && at; i++) at = stream(library, frame, at, rows + i * size, size);
    return at != NULL;
}

/* Voxels `first` up to `last` to their places in `voxels`; `rows` has room for as much. */
static int decode(const Library *library, const Frame *frame, int64_t itemsize, int64_t first, int64_t last,
                  uint8_t *voxels, uint8_t *rows) {
    if (is_ours(frame, itemsize)) {
        if (!shuffled(library, frame, itemsize, rows)) return 0;
        unshuffle(best_way(), rows, frame->nbytes / itemsize / 8, voxels, itemsize, first, last);
        return 1;
    }
    int64_t size = (last - first) * itemsize;
    if (size == frame->nbytes) return library->decompress(frame->bytes, voxels, (size_t)size, 1) == size;
    return library->getitem(frame->bytes, (int)first, (int)(last - first), voxels + first * itemsize) == size;
}

#endif
