/* Killed at each of its system calls in turn, see tests/calls/main.rs: says "begin", then numbers of acknowledged steps.
 *
 * Each step is a put, a deletion or a batch, in segments so small that they fill up; in the middle the store is closed and opened
 * again. There is no thread but this one, so that the calls come in the same order every time. */
#include "../../c_tests/check.h"

enum { STEPS = 24 };

static freyja_db *open_small(const char *path) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    options.background_threads = 0;
    options.segment_size = 4096;
    return open_store(path, &options);
}

static void say(int number) {
    char text[16];
    int length = sprintf(text, "%d\n", number);
    CHECK(write(1, text, (size_t)length) == length);
}

static int step(freyja_db *db, freyja_batch *batch, int number) {
    char key[16], value[600];
    int key_len = sprintf(key, "key %d", number);
    memset(value, 'a' + number, sizeof value);
    if (number % 6 == 4) {
        key_len = sprintf(key, "key %d", number - 1);
        return freyja_delete(db, key, (size_t)key_len);
    }
    if (number % 6 != 5)
        return freyja_put(db, key, (size_t)key_len, value, sizeof value);
    CHECK_OK(freyja_batch_clear(batch));
    CHECK_OK(freyja_batch_put(batch, key, (size_t)key_len, value, sizeof value));
    CHECK_OK(freyja_batch_put(batch, "last batch", 10, value, 1));
    return freyja_write(db, batch);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_batch *batch;
    CHECK_OK(freyja_batch_new(&batch));
    say(-1);
    freyja_db *db = open_small(argv[1]);
    for (int number = 0; number < STEPS; number++) {
        if (number == STEPS / 2) {
            CHECK_OK(freyja_close(db));
            db = open_small(argv[1]);
        }
        CHECK_OK(step(db, batch, number));
        say(number);
    }
    return freyja_close(db);
}
