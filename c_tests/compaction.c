/* Compaction gives space back, beside reads, and by maintenance for those who want no threads. */
#include "check.h"

enum { KEYS = 4000 };

static void put_all(freyja_db *db, char fill) {
    char key[16], value[100];
    memset(value, fill, sizeof value);
    for (int number = 0; number < KEYS; number++) {
        snprintf(key, sizeof key, "key %d", number);
        CHECK_OK(freyja_put(db, key, strlen(key), value, sizeof value));
    }
}

static void check_values(freyja_db *db, char fill) {
    char key[16], value[100], expected[100];
    size_t length;
    memset(expected, fill, sizeof expected);
    for (int number = 0; number < KEYS; number++) {
        snprintf(key, sizeof key, "key %d", number);
        CHECK_OK(freyja_get_into(db, key, strlen(key), value, sizeof value, &length));
        CHECK(length == sizeof value && memcmp(value, expected, length) == 0);
    }
    CHECK(count_of(db) == KEYS);
}

static freyja_options small_segments(void) {
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    options.segment_size = 64 << 10;
    options.compaction = FREYJA_COMPACTION_MANUAL;
    return options;
}

struct seen {
    int calls, cancel_at;
    uint64_t done, total;
};

static int watch(void *user, uint64_t done, uint64_t total) {
    struct seen *seen = user;
    CHECK(done <= total && done >= seen->done && (seen->calls == 0 || total == seen->total));
    seen->calls++;
    seen->done = done;
    seen->total = total;
    return seen->calls == seen->cancel_at;
}

static void garbage_goes_and_values_stay(const char *path) {
    freyja_options options = small_segments();
    freyja_db *db = open_store(path, &options);
    for (char fill = 0; fill < 5; fill++)
        put_all(db, fill);
    freyja_stats_t before = stats_of(db);
    CHECK(before.dead_pairs == 4 * KEYS && before.compactions == 0);
    struct seen seen = {0, 1, 0, 0};
    freyja_error error;
    CHECK_STATUS(freyja_compact(db, watch, &seen, &error), ECANCELED);
    CHECK(seen.calls == 1 && error.sys_errno == ECANCELED && error.message[0] != '\0');
    seen = (struct seen){0, 0, 0, 0};
    CHECK_OK(freyja_compact(db, watch, &seen, NULL));
    CHECK(seen.calls > 0);
    freyja_stats_t after = stats_of(db);
    /* Where a segment ends depends on how quick the disk is. One of which less than a sixteenth is dead stays as it is. */
    CHECK(after.dead_pairs * 100 < options.segment_size / 16 && after.compactions > 0);
    CHECK(after.disk_bytes < before.disk_bytes / 3);
    CHECK(after.compaction_bytes_read > 0 && after.compaction_bytes_written > 0);
    CHECK(after.live_bytes <= after.disk_bytes && after.written_bytes > before.live_bytes);
    check_values(db, 4);
    CHECK_OK(freyja_compact(db, NULL, NULL, NULL));
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    check_values(db, 4);
    CHECK(stats_of(db).recovery_missing_segments == 0);
    CHECK_OK(freyja_close(db));
}

static void deleting_everything_leaves_next_to_nothing(const char *path) {
    freyja_options options = small_segments();
    freyja_db *db = open_store(path, &options);
    char key[16];
    for (int number = 0; number < KEYS; number++) {
        snprintf(key, sizeof key, "key %d", number);
        CHECK_OK(freyja_delete(db, key, strlen(key)));
    }
    CHECK_OK(freyja_compact(db, NULL, NULL, NULL));
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.keys == 0 && stats.tombstone_bytes == 0 && stats.dead_pairs == 0);
    CHECK(stats.disk_bytes < 1 << 20);
    CHECK_OK(freyja_close(db));
}

static void maintenance_keeps_the_log_small_without_threads(const char *path) {
    freyja_options options = small_segments();
    options.compaction = FREYJA_COMPACTION_AUTOMATIC;
    options.background_threads = 0;
    options.space_amplification = 200;
    freyja_db *db = open_store(path, &options);
    for (char fill = 0; fill < 10; fill++) {
        put_all(db, fill);
        int status;
        while ((status = freyja_maintain(db)) == FREYJA_OK) {
        }
        CHECK_STATUS(status, FREYJA_DONE);
    }
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.compactions > 0);
    CHECK(stats.disk_bytes < 3 * stats.live_bytes);
    check_values(db, 9);
    CHECK_OK(freyja_close(db));
    CHECK_STATUS(freyja_maintain(db), FREYJA_CLOSED);
    CHECK_STATUS(freyja_compact(db, NULL, NULL, NULL), FREYJA_CLOSED);
}

static void what_is_asked_wrongly_is_refused(const char *path) {
    freyja_options options = small_segments();
    freyja_db *db = NULL;
    options.space_amplification = 109;
    CHECK_STATUS(freyja_open(path, &options, &db, NULL), FREYJA_INVALID);
    options.space_amplification = 0;
    options.compaction = 2;
    CHECK_STATUS(freyja_open(path, &options, &db, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_compact(NULL, NULL, NULL, NULL), FREYJA_INVALID);
    CHECK_STATUS(freyja_maintain(NULL), FREYJA_INVALID);
    options = small_segments();
    options.flags = FREYJA_READ_ONLY_STORE;
    db = open_store(path, &options);
    CHECK_STATUS(freyja_compact(db, NULL, NULL, NULL), FREYJA_READ_ONLY);
    CHECK_STATUS(freyja_maintain(db), FREYJA_READ_ONLY);
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    garbage_goes_and_values_stay(path_in(argv[1], "store"));
    deleting_everything_leaves_next_to_nothing(path_in(argv[1], "store"));
    maintenance_keeps_the_log_small_without_threads(path_in(argv[1], "maintained"));
    what_is_asked_wrongly_is_refused(path_in(argv[1], "store"));
    return 0;
}
