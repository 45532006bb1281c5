/* Says on standard output what has been acknowledged, so that a tracer sees whether it was synced before.
 *
 * "always" after each put of the mode that promises durability; "interval" at the beginning and at the end of a time in
 * which another mode syncs on its own while puts go on. */
#include "check.h"

#include <time.h>

enum { PUTS = 50, INTERVAL = 20, WRITING = 500 };

static void say(const char *word) {
    CHECK(write(1, word, strlen(word)) == (ssize_t)strlen(word));
}

static freyja_db *open_with(const char *path, uint32_t sync_mode) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    options.sync_mode = sync_mode;
    options.sync_interval_ms = INTERVAL;
    return open_store(path, &options);
}

static int64_t milliseconds(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_db *db = open_with(path_in(argv[1], "always"), FREYJA_SYNC_ALWAYS);
    for (int n = 0; n < PUTS; n++) {
        CHECK_OK(put_text(db, "key", "value"));
        say("always\n");
    }
    CHECK_OK(freyja_close(db));
    db = open_with(path_in(argv[1], "interval"), FREYJA_SYNC_INTERVAL);
    CHECK_OK(put_text(db, "key", "value"));
    say("interval\n");
    for (int64_t end = milliseconds() + WRITING; milliseconds() < end;)
        CHECK_OK(put_text(db, "key", "value"));
    say("interval\n");
    CHECK_OK(freyja_close(db));
    return 0;
}
