/* The records of Kafka batches in format 2, uncompressed, into Arrow's layout: no Python here, and no allocation.

   `measure` walks the records once and says how much room they need; `fill` walks them again and writes them. Both check
   each length against the bytes that are there. Anybody can write anything to the log, so nothing here trusts it. */
#ifndef NORN_RECORDS_H
#define NORN_RECORDS_H

#include <stdint.h>
#include <string.h>

/* One batch: its records lie from `at` to `end`; their offsets are in [base, high); `time` is of all of them where it is
   `fixed`, and else what their own times are added to. */
typedef struct {
    const uint8_t *at, *end;
    int64_t records, base, high, time;
    int fixed;
} Part;

/* What the records need: how many they are, the bytes of their keys and values, how many have no key and no value. */
typedef struct {
    int64_t records, key_bytes, value_bytes, without_key, without_value;
} Size;

/* Where they go. `ends` have one more entry than there are records; `valid` are bitmaps, or null where all are there. */
typedef struct {
    int64_t *offsets, *times;
    int32_t *key_ends, *value_ends;
    uint8_t *keys, *values, *key_valid, *value_valid;
} Columns;

/* A size below nothing says that there is none. */
typedef struct {
    int64_t offset, time, key_size, value_size;
    const uint8_t *key, *value;
} Record;

/* Reads a zigzag varint; 0 where there is none. */
static int read_varint(const uint8_t **at, const uint8_t *end, int64_t *number) {
    uint64_t read = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        read |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *number = (int64_t)(read >> 1) ^ -(int64_t)(read & 1);
            return 1;
        }
    }
    return 0;
}

/* Reads bytes behind their length; 0 where they do not fit. */
static int read_bytes(const uint8_t **at, const uint8_t *end, int64_t *size, const uint8_t **bytes) {
    if (!read_varint(at, end, size) || *size > end - *at) return 0;
    *bytes = *at;
    if (*size > 0) *at += *size;
    return 1;
}

/* Reads headers only to see that they are what the record's length leaves room for. */
static int pass_headers(const uint8_t **at, const uint8_t *end) {
    int64_t headers, size;
    const uint8_t *bytes;
    if (!read_varint(at, end, &headers) || headers < 0) return 0;
    for (; headers > 0; headers--) {
        if (!read_bytes(at, end, &size, &bytes) || size < 0 || !read_bytes(at, end, &size, &bytes)) return 0;
    }
    return *at == end;
}

static int read_record(const Part *part, const uint8_t **at, Record *record) {
    int64_t length, delta;
    if (!read_varint(at, part->end, &length) || length < 1 || length > part->end - *at) return 0;
    const uint8_t *end = *at + length;
    /* Attributes, of which there are none yet. */
    *at += 1;
    if (!read_varint(at, end, &delta)) return 0;
    if (part->fixed) record->time = part->time;
    else if (__builtin_add_overflow(part->time, delta, &record->time)) return 0;
    if (!read_varint(at, end, &delta) || delta < 0 || delta >= part->high - part->base) return 0;
    record->offset = part->base + delta;
    return read_bytes(at, end, &record->key_size, &record->key)
        && read_bytes(at, end, &record->value_size, &record->value)
        && pass_headers(at, end);
}

/* Says how much room the records from the offset `low` on need; 0 where the bytes are no records. */
static int measure(const Part *parts, int64_t count, int64_t low, Size *size) {
    Record record;
    memset(size, 0, sizeof *size);
    for (const Part *part = parts; part < parts + count; part++) {
        const uint8_t *at = part->at;
        for (int64_t left = part->records; left > 0; left--) {
            if (!read_record(part, &at, &record)) return 0;
            if (record.offset < low) continue;
            low = record.offset + 1;
            size->records++;
            if (record.key_size < 0) size->without_key++;
            else size->key_bytes += record.key_size;
            if (record.value_size < 0) size->without_value++;
            else size->value_bytes += record.value_size;
        }
        if (at != part->end) return 0;
    }
    return 1;
}

static void put(int64_t row, int64_t size, const uint8_t *bytes, int32_t *ends, uint8_t *into, uint8_t *valid) {
    ends[row + 1] = ends[row];
    if (size < 0) return;
    if (valid) valid[row >> 3] |= (uint8_t)(1 << (row & 7));
    memcpy(into + ends[row], bytes, (size_t)size);
    ends[row + 1] += (int32_t)size;
}

/* Writes the records that `measure` found; the bitmaps come zeroed, and the bytes are the same as they were then. */
static void fill(const Part *parts, int64_t count, int64_t low, const Columns *columns) {
    Record record;
    int64_t row = 0;
    columns->key_ends[0] = columns->value_ends[0] = 0;
    for (const Part *part = parts; part < parts + count; part++) {
        const uint8_t *at = part->at;
        for (int64_t left = part->records; left > 0; left--) {
            if (!read_record(part, &at, &record)) return;
            if (record.offset < low) continue;
            low = record.offset + 1;
            columns->offsets[row] = record.offset;
            columns->times[row] = record.time;
            put(row, record.key_size, record.key, columns->key_ends, columns->keys, columns->key_valid);
            put(row, record.value_size, record.value, columns->value_ends, columns->values, columns->value_valid);
            row++;
        }
    }
}

#endif
