/* Does each operation as often as told, in a function of its own, so that callgrind counts them apart. */
#include <freyja.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 16, VALUE = 100, BATCH = 100 };

static freyja_db *db;
static unsigned count;
static char value[VALUE];

#define CHECK(condition)                                                  \
    do                                                                    \
        if (!(condition)) {                                               \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
            exit(1);                                                      \
        }                                                                 \
    while (0)

/* Every number below the count once, in an order that no cache or prefetcher knows: 7919 is prime. */
static const char *key(unsigned step, char first) {
    static char text[KEY + 1];
    unsigned long long number = (unsigned long long)step * 7919 % count;
    /* By hand, as snprintf would be the larger part of what is counted. */
    memset(text, '0', KEY);
    text[0] = first;
    for (int place = KEY; number > 0; number /= 10)
        text[--place] = (char)('0' + number % 10);
    return text;
}

#define MEASURED __attribute__((noinline)) static void

MEASURED measured_harness(void) {
    for (unsigned step = 0; step < count; step++)
        CHECK(key(step, 'k')[0] == 'k');
}

MEASURED measured_insert(void) {
    for (unsigned step = 0; step < count; step++)
        CHECK(freyja_put(db, key(step, 'k'), KEY, value, VALUE) == FREYJA_OK);
}

MEASURED measured_overwrite(void) {
    for (unsigned step = 0; step < count; step++)
        CHECK(freyja_put(db, key(step, 'k'), KEY, value, VALUE) == FREYJA_OK);
}

MEASURED measured_get_hit(void) {
    for (unsigned step = 0; step < count; step++) {
        void *found;
        size_t length;
        CHECK(freyja_get(db, key(step, 'k'), KEY, &found, &length) == FREYJA_OK);
        CHECK(length == VALUE);
        freyja_free_buf(found);
    }
}

MEASURED measured_get_into_hit(void) {
    for (unsigned step = 0; step < count; step++) {
        char found[VALUE];
        size_t length;
        CHECK(freyja_get_into(db, key(step, 'k'), KEY, found, VALUE, &length) == FREYJA_OK);
        CHECK(length == VALUE);
    }
}

MEASURED measured_get_miss(void) {
    for (unsigned step = 0; step < count; step++) {
        void *found;
        size_t length;
        CHECK(freyja_get(db, key(step, 'x'), KEY, &found, &length) == FREYJA_NOT_FOUND);
    }
}

MEASURED measured_iteration_step(void) {
    freyja_iter *iterator;
    freyja_slice found_key, found;
    unsigned steps = 0;
    CHECK(freyja_iter_new(db, &iterator) == FREYJA_OK);
    while (freyja_iter_next(iterator, &found_key, &found) == FREYJA_OK)
        steps++;
    CHECK(steps == count);
    freyja_iter_free(iterator);
}

MEASURED measured_delete(void) {
    for (unsigned step = 0; step < count; step++)
        CHECK(freyja_delete(db, key(step, 'k'), KEY) == FREYJA_OK);
}

/* A batch of 100 at a time, the putting into the batch included. */
MEASURED measured_put_in_batch(void) {
    freyja_batch *batch;
    CHECK(freyja_batch_new(&batch) == FREYJA_OK);
    for (unsigned step = 0; step < count; step++) {
        CHECK(freyja_batch_put(batch, key(step, 'k'), KEY, value, VALUE) == FREYJA_OK);
        if ((step + 1) % BATCH == 0) {
            CHECK(freyja_write(db, batch) == FREYJA_OK);
            CHECK(freyja_batch_clear(batch) == FREYJA_OK);
        }
    }
    CHECK(freyja_batch_free(batch) == FREYJA_OK);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    count = (unsigned)strtoul(argv[3], NULL, 10);
    CHECK(count > 0 && count % 7919 != 0);
    freyja_options options = FREYJA_OPTIONS_INIT;
    /* No thread takes part whose steps depend on the time. */
    options.background_threads = 0;
    options.sync_mode = FREYJA_SYNC_NONE;
    options.compaction = FREYJA_COMPACTION_MANUAL;
    options.key_storage = strcmp(argv[2], "disk") == 0 ? FREYJA_KEYS_ON_DISK : FREYJA_KEYS_IN_MEMORY;
    /* Growth comes in steps whose number depends on the hash function, which is another one in every store. */
    options.expected_keys = count;
    freyja_error error;
    CHECK(freyja_open(argv[1], &options, &db, &error) == FREYJA_OK);
    memset(value, 'v', VALUE);
    measured_harness();
    measured_insert();
    measured_overwrite();
    measured_put_in_batch();
    measured_get_hit();
    measured_get_into_hit();
    measured_get_miss();
    measured_iteration_step();
    measured_delete();
    CHECK(freyja_close(db) == FREYJA_OK);
    return 0;
}
