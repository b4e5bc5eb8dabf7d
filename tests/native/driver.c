/* Walks batches from the standard input, each in memory of exactly its size, and writes its records into memory of
   exactly the size that was measured: a sanitizer sees every byte that is read or written beside them.

   Of each batch come seven numbers of eight bytes, little endian - size, records, base, high, time, fixed, low - and then
   its bytes. What it comes to is told on a line: records, bytes of keys, bytes of values; or `no`. The records are then
   framed, as for ClickHouse. */
#include <stdio.h>
#include <stdlib.h>

#include "../../projections/native/framing.h"
#include "../../streams/native/records.h"

static void *room(int64_t size) { return calloc(1, size ? (size_t)size : 1); }

static void frame(const Columns *columns, int64_t count, int64_t bytes_size) {
    uint8_t place[3] = {1, 2, 3};
    Rows rows = {columns->value_ends, columns->values, columns->offsets, count, bytes_size, place, sizeof place};
    int64_t size = framed_size(&rows);
    if (size < 0) abort();
    uint8_t *made = room(size);
    frame_rows(&rows, made);
    free(made);
}

static void unpack(const Part *part, int64_t low, const Size *size) {
    int64_t bitmap = (size->records + 7) / 8;
    Columns columns = {
        room(size->records * 8), room(size->records * 8), room((size->records + 1) * 4), room((size->records + 1) * 4),
        room(size->key_bytes), room(size->value_bytes), room(bitmap), size->without_value ? room(bitmap) : NULL,
    };
    fill(part, 1, low, &columns);
    frame(&columns, size->records, size->value_bytes);
    free(columns.offsets), free(columns.times), free(columns.key_ends), free(columns.value_ends);
    free(columns.keys), free(columns.values), free(columns.key_valid), free(columns.value_valid);
}

int main(void) {
    int64_t head[7];
    while (fread(head, sizeof head, 1, stdin) == 1) {
        uint8_t *bytes = malloc(head[0] ? (size_t)head[0] : 1);
        if (fread(bytes, 1, (size_t)head[0], stdin) != (size_t)head[0]) return 2;
        Part part = {bytes, bytes + head[0], head[1], head[2], head[3], head[4], (int)head[5]};
        Size size;
        if (measure(&part, 1, head[6], &size)) {
            unpack(&part, head[6], &size);
            printf("%lld %lld %lld\n", (long long)size.records, (long long)size.key_bytes, (long long)size.value_bytes);
        } else {
            printf("no\n");
        }
        free(bytes);
    }
    return 0;
}
