/* Chunks of one shard into arrays, in one call that holds no Python lock: pread, crc32c, decompression, and a copy that
   may turn stored integers into normalised floats on the way, while the chunk is still in the processor's cache.

   Whatever is not as it should be ends the call. It writes no error text, for the caller reads the same chunks again in
   Python, which does. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "linear.h"

enum { CRC_BYTES = 4 };

typedef struct {
    int64_t file, start, nbytes;  /* descriptor; first byte of the shard in it; bytes of the shard */
    const uint64_t *index;        /* offset and length of each chunk, in C order */
    int64_t chunks[3];            /* chunks in the shard along x, y, z */
    int64_t chunk[3];             /* voxels in a chunk along x, y, z */
    int64_t type, itemsize;       /* place of the stored dtype in TYPES of native.py; its bytes */
    const void *fill;             /* one stored voxel, for chunks that are not there */
    int64_t capacity;             /* room for stored bytes: for a chunk and 20 bytes, or more */
} Shard;

typedef struct {
    int64_t low[3], high[3];  /* voxels of the shard that are wanted */
    char *target;             /* where voxel `low` goes */
    int64_t stride[2];        /* bytes from one x, one y to the next in the target; z lies side by side */
    float scale, offset;      /* clip(voxel * scale + offset, 0, 1) as float, where `linear` */
    int64_t linear;
    int64_t backwards;        /* whether z goes from higher addresses to lower ones */
} Region;

typedef struct {
    int64_t low[3], high[3];
} Box;

/* Where chunks are decoded: room for stored bytes of one or several, for the voxels of one, and for those once more.
   `begin` up to `end` is what the stored bytes are of the shard. */
typedef struct {
    uint8_t *stored, *voxels, *rows;
    uint64_t begin, end;
} Room;

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static Box box_of(const Shard *shard, const int64_t *at) {
    Box box;
    for (int axis = 0; axis < 3; axis++) {
        box.low[axis] = at[axis] * shard->chunk[axis];
        box.high[axis] = box.low[axis] + shard->chunk[axis];
    }
    return box;
}

static const uint64_t *entry_of(const Shard *shard, const int64_t *at) {
    return shard->index + 2 * ((at[0] * shard->chunks[1] + at[1]) * shard->chunks[2] + at[2]);
}

static int meet(const Box *chunk, const Region *region, Box *common) {
    int found = 1;
    for (int axis = 0; axis < 3; axis++) {
        common->low[axis] = larger(chunk->low[axis], region->low[axis]);
        common->high[axis] = smaller(chunk->high[axis], region->high[axis]);
        found &= common->low[axis] < common->high[axis];
    }
    return found;
}

/* Where the voxels of `box` at x and y go that lie side by side along z. */
static char *place(const Region *region, const Box *box, int64_t x, int64_t y, int64_t wide) {
    int64_t along = region->backwards ? region->low[2] + 1 - box->high[2] : box->low[2] - region->low[2];
    return region->target + (x - region->low[0]) * region->stride[0] + (y - region->low[1]) * region->stride[1] +
           along * wide;
}

#define REVERSE(WIDTH)                                                                                         \
    for (int64_t i = 0; i < count; i++) memcpy(to + i * WIDTH, from + (count - 1 - i) * WIDTH, WIDTH)

/* `count` voxels in the opposite order. */
WIDE static void reverse(const uint8_t *restrict from, uint8_t *restrict to, int64_t count, int64_t itemsize) {
    if (itemsize == 1)
        REVERSE(1);
    else if (itemsize == 2)
        REVERSE(2);
    else if (itemsize == 4)
        REVERSE(4);
    else
        REVERSE(8);
}

/* `turned` is room for a line of the chunk's voxels along z. */
static void copy(const Shard *shard, const Region *region, const Box *box, const Box *chunk, const uint8_t *voxels,
                 uint8_t *turned) {
    int64_t count = box->high[2] - box->low[2], wide = region->linear ? (int64_t)sizeof(float) : shard->itemsize;
    for (int64_t x = box->low[0]; x < box->high[0]; x++)
        for (int64_t y = box->low[1]; y < box->high[1]; y++) {
            int64_t line = (x - chunk->low[0]) * shard->chunk[1] + y - chunk->low[1];
            const uint8_t *from = voxels + (line * shard->chunk[2] + box->low[2] - chunk->low[2]) * shard->itemsize;
            char *to = place(region, box, x, y, wide);
            if (region->backwards) {
                reverse(from, turned, count, shard->itemsize);
                from = turned;
            }
            if (region->linear)
                LINEAR[shard->type](from, (float *)to, count, region->scale, region->offset);
            else
                memcpy(to, from, (size_t)(count * wide));
        }
}

static void fill(const Shard *shard, const Region *region, const Box *box) {
    char voxel[8];
    int64_t wide = region->linear ? (int64_t)sizeof(float) : shard->itemsize;
    if (region->linear)
        LINEAR[shard->type](shard->fill, (float *)voxel, 1, region->scale, region->offset);
    else
        memcpy(voxel, shard->fill, (size_t)wide);
    for (int64_t x = box->low[0]; x < box->high[0]; x++)
        for (int64_t y = box->low[1]; y < box->high[1]; y++) {
            char *to = place(region, box, x, y, wide);
            for (int64_t z = box->low[2]; z < box->high[2]; z++, to += wide) memcpy(to, voxel, (size_t)wide);
        }
}

static int read_all(int file, uint8_t *target, int64_t length, int64_t start) {
    while (length > 0) {
        ssize_t got = pread(file, target, (size_t)length, (off_t)start);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        target += got, length -= got, start += got;
    }
    return 1;
}

static int is_wanted(const Shard *shard, const Region *regions, int64_t count, const int64_t *at) {
    Box chunk = box_of(shard, at), common;
    for (int64_t r = 0; r < count; r++)
        if (meet(&chunk, &regions[r], &common)) return 1;
    return 0;
}

/* The stored bytes of the chunk at `at`, NULL if they cannot be had. Chunks that follow it along z and in the file are
   brought by the same read, as far as they are wanted and there is room. */
static const uint8_t *stored_bytes(const Shard *shard, const Region *regions, int64_t count, const int64_t *at,
                                   int64_t last, Room *room) {
    const uint64_t *entry = entry_of(shard, at);
    uint64_t offset = entry[0], whole = (uint64_t)shard->nbytes, capacity = (uint64_t)shard->capacity;
    if (offset > whole || entry[1] > whole - offset || entry[1] > capacity) return NULL;
    if (offset >= room->begin && offset + entry[1] <= room->end) return room->stored + (offset - room->begin);
    uint64_t end = offset + entry[1];
    for (int64_t next[3] = {at[0], at[1], at[2] + 1}; next[2] <= last; next[2]++) {
        const uint64_t *following = entry_of(shard, next);
        if (following[0] != end || following[1] > whole - end || end + following[1] - offset > capacity) break;
        if (!is_wanted(shard, regions, count, next)) break;
        end += following[1];
    }
    room->begin = room->end = 0;
    if (!read_all((int)shard->file, room->stored, (int64_t)(end - offset), shard->start + (int64_t)offset)) return NULL;
    room->begin = offset, room->end = end;
    return room->stored;
}

/* The frame of a chunk, checked: its checksum, and what it says of its sizes, that of a voxel among them. */
static int frame_of(const Library *library, const Shard *shard, const uint8_t *stored, int64_t length, Frame *frame) {
    int64_t nbytes = shard->chunk[0] * shard->chunk[1] * shard->chunk[2] * shard->itemsize;
    if (length < BLOSC_HEADER + CRC_BYTES || length > nbytes + BLOSC_HEADER + CRC_BYTES) return 0;
    int64_t encoded = length - CRC_BYTES;
    if (library->crc32c(stored, (size_t)encoded) != little(stored + encoded)) return 0;
    frame->bytes = stored;
    frame->length = encoded;
    frame->nbytes = little(stored + 4);
    frame->blocksize = little(stored + 8);
    return frame->nbytes == nbytes && little(stored + 12) == encoded && stored[3] == shard->itemsize;
}

/* What all regions want of the chunk at `at`, whose `length` stored bytes are at `stored`, NULL if it is not there. It is
   decoded once, and only from its first slab that is wanted to its last. */
static int place_chunk(const Library *library, const Shard *shard, const Region *regions, int64_t count,
                       const int64_t *at, const uint8_t *stored, int64_t length, const Room *room) {
    Box chunk = box_of(shard, at), box;
    int64_t low = chunk.high[0], high = chunk.low[0], slab = shard->chunk[1] * shard->chunk[2];
    Frame frame;
    for (int64_t r = 0; r < count; r++)
        if (meet(&chunk, &regions[r], &box)) low = smaller(low, box.low[0]), high = larger(high, box.high[0]);
    if (low >= high) return 1;
    if (stored) {
        int64_t first = (low - chunk.low[0]) * slab, last = (high - chunk.low[0]) * slab;
        if (!frame_of(library, shard, stored, length, &frame)) return 0;
        if (!decode(library, &frame, shard->itemsize, first, last, room->voxels, room->rows)) return 0;
    }
    for (int64_t r = 0; r < count; r++) {
        if (!meet(&chunk, &regions[r], &box)) continue;
        if (stored)
            copy(shard, &regions[r], &box, &chunk, room->voxels, room->rows);
        else
            fill(shard, &regions[r], &box);
    }
    return 1;
}

static int read_chunk(const Library *library, const Shard *shard, const Region *regions, int64_t count,
                      const int64_t *at, int64_t last_z, Room *room) {
    const uint64_t *entry = entry_of(shard, at);
    const uint8_t *stored = NULL;
    if (!is_wanted(shard, regions, count, at)) return 1;
    if (entry[0] != UINT64_MAX) {
        stored = stored_bytes(shard, regions, count, at, last_z, room);
        if (!stored) return 0;
    }
    return place_chunk(library, shard, regions, count, at, stored, (int64_t)entry[1], room);
}

static Room room_in(const Shard *shard, uint8_t *bytes) {
    int64_t nbytes = shard->chunk[0] * shard->chunk[1] * shard->chunk[2] * shard->itemsize;
    Room room = {bytes + 2 * nbytes, bytes, bytes + nbytes, 0, 0};
    return room;
}

/* Fill all regions of a shard; 1 if all went well. `bytes` is room for two chunks and the shard's capacity. */
int mixio_read(const Library *library, const Shard *shard, const Region *regions, int64_t count, uint8_t *bytes) {
    int64_t first[3], last[3], at[3];
    Room room = room_in(shard, bytes);
    for (int axis = 0; axis < 3; axis++) {
        int64_t low = regions[0].low[axis], high = regions[0].high[axis];
        for (int64_t r = 1; r < count; r++)
            low = smaller(low, regions[r].low[axis]), high = larger(high, regions[r].high[axis]);
        first[axis] = low / shard->chunk[axis];
        last[axis] = (high - 1) / shard->chunk[axis];
    }
    for (at[0] = first[0]; at[0] <= last[0]; at[0]++)
        for (at[1] = first[1]; at[1] <= last[1]; at[1]++)
            for (at[2] = first[2]; at[2] <= last[2]; at[2]++)
                if (!read_chunk(library, shard, regions, count, at, last[2], &room)) return 0;
    return 1;
}

/* The same for one chunk whose stored bytes are in memory already. */
int mixio_place(const Library *library, const Shard *shard, const Region *regions, int64_t count, const int64_t *at,
                const uint8_t *stored, int64_t length, uint8_t *bytes) {
    Room room = room_in(shard, bytes);
    return place_chunk(library, shard, regions, count, at, stored, length, &room);
}

/* The same arithmetic on an array that lies side by side, for integers that came through a pipe. */
void mixio_linear(const void *from, float *to, int64_t count, int64_t type, float scale, float offset) {
    LINEAR[type](from, to, count, scale, offset);
}

/* How this processor undoes the bit shuffle: 0 not at all, 1 by AVX2, 2 by GFNI. */
int mixio_unshuffles(void) { return best_way(); }

/* Undo it in one of the ways up to that, for all of `row` * 8 voxels of `width` bytes. */
void mixio_unshuffle(int way, const uint8_t *rows, int64_t row, uint8_t *out, int64_t width) {
    unshuffle(way, rows, row, out, width, 0, row * 8);
}

/* How many of the TYPES of native.py there are. */
int mixio_types(void) { return (int)(sizeof LINEAR / sizeof LINEAR[0]); }
