/* Says on standard output what has been acknowledged, so that a tracer sees whether it was synced before.
 *
 * "always" and the key after each put of the mode that promises durability, by one thread and then by several at once, in small
 * segments; "interval" at the beginning and at the end of a time in which another mode syncs on its own while puts go on. */
#include "check.h"

#include <pthread.h>
#include <time.h>

enum { THREADS = 4, PUTS = 30, INTERVAL = 20, WRITING = 500 };

static freyja_db *durable;

static void say(const char *word) {
    CHECK(write(1, word, strlen(word)) == (ssize_t)strlen(word));
}

static freyja_db *open_with(const char *path, uint32_t sync_mode) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    options.sync_mode = sync_mode;
    options.sync_interval_ms = INTERVAL;
    options.segment_size = sync_mode == FREYJA_SYNC_ALWAYS ? 4096 : 0;
    return open_store(path, &options);
}

/* Puts pairs of a thread's own. */
static void *put_durably(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    char key[32], value[200] = {0}, said[64];
    for (unsigned n = 0; n < PUTS; n++) {
        size_t key_len = (size_t)snprintf(key, sizeof key, "key %u of %u.", n, thread);
        CHECK_OK(freyja_put(durable, key, key_len, value, sizeof value));
        snprintf(said, sizeof said, "always %s\n", key);
        say(said);
    }
    return NULL;
}

static int64_t milliseconds(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    durable = open_with(path_in(argv[1], "always"), FREYJA_SYNC_ALWAYS);
    put_durably(NULL);
    pthread_t threads[THREADS];
    for (uintptr_t n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, put_durably, (void *)(n + 1)) == 0);
    for (int n = 0; n < THREADS; n++)
        CHECK(pthread_join(threads[n], NULL) == 0);
    CHECK_OK(freyja_close(durable));
    freyja_db *db = open_with(path_in(argv[1], "interval"), FREYJA_SYNC_INTERVAL);
    CHECK_OK(put_text(db, "key", "value"));
    say("interval\n");
    for (int64_t end = milliseconds() + WRITING; milliseconds() < end;)
        CHECK_OK(put_text(db, "key", "value"));
    say("interval\n");
    CHECK_OK(freyja_close(db));
    return 0;
}
