/* Records of the log as ClickHouse's format Protobuf reads them: each behind its length, with its place in the log
   appended. No Python here, and no allocation. */
#ifndef NORN_FRAMING_H
#define NORN_FRAMING_H

#include <stdint.h>
#include <string.h>

/* Values in Arrow's layout: value i is `bytes` from ends[i] to ends[i + 1]. `place` comes behind each, and then its
   offset in eight bytes, the lowest first. */
typedef struct {
    const int32_t *ends;
    const uint8_t *bytes;
    const int64_t *offsets;
    int64_t count, bytes_size;
    const uint8_t *place;
    int64_t place_size;
} Rows;

static int64_t varint_size(uint64_t number) {
    int64_t size = 1;
    while (number >>= 7) size++;
    return size;
}

static int64_t row_size(const Rows *rows, int64_t row) {
    return (int64_t)rows->ends[row + 1] - rows->ends[row] + rows->place_size + 8;
}

/* How many bytes the rows come to, or -1 where the values do not lie in their bytes, in order. */
static int64_t framed_size(const Rows *rows) {
    int64_t size = 0;
    if (rows->ends[0] < 0) return -1;
    for (int64_t row = 0; row < rows->count; row++) {
        if (rows->ends[row + 1] < rows->ends[row] || rows->ends[row + 1] > rows->bytes_size) return -1;
        size += row_size(rows, row);
        size += varint_size((uint64_t)row_size(rows, row));
    }
    return size;
}

static void frame_rows(const Rows *rows, uint8_t *at) {
    for (int64_t row = 0; row < rows->count; row++) {
        size_t value = (size_t)(rows->ends[row + 1] - rows->ends[row]);
        uint64_t left = (uint64_t)row_size(rows, row), offset = (uint64_t)rows->offsets[row];
        for (; left > 0x7f; left >>= 7) *at++ = (uint8_t)(left | 0x80);
        *at++ = (uint8_t)left;
        memcpy(at, rows->bytes + rows->ends[row], value);
        memcpy(at += value, rows->place, (size_t)rows->place_size);
        at += rows->place_size;
        for (int shift = 0; shift < 64; shift += 8) *at++ = (uint8_t)(offset >> shift);
    }
}

#endif
