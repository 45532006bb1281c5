/* What each sync mode promises, as far as a living process can see it: the durable sequence number. */
#include "check.h"

#include <time.h>

static freyja_db *open_in(const char *path, uint32_t sync_mode, uint32_t interval_ms, uint32_t threads) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    options.sync_mode = sync_mode;
    options.sync_interval_ms = interval_ms;
    options.background_threads = threads;
    return open_store(path, &options);
}

static void always_means_durable_when_it_returns(const char *path) {
    freyja_db *db = open_in(path, FREYJA_SYNC_ALWAYS, 0, 1);
    for (int n = 0; n < 20; n++) {
        CHECK_OK(put_text(db, "key", "value"));
        freyja_stats_t stats = stats_of(db);
        CHECK(stats.durable_sequence == stats.last_sequence);
        CHECK(stats.syncs > 0);
    }
    CHECK_OK(delete_text(db, "key"));
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.durable_sequence == stats.last_sequence);
    CHECK_OK(freyja_close(db));
}

static void none_syncs_only_when_asked(const char *path) {
    freyja_db *db = open_in(path, FREYJA_SYNC_NONE, 0, 1);
    CHECK_OK(put_text(db, "first", "makes the segment"));
    freyja_stats_t before = stats_of(db);
    for (int n = 0; n < 100; n++)
        CHECK_OK(put_text(db, "key", "value"));
    freyja_stats_t after = stats_of(db);
    CHECK(after.last_sequence == before.last_sequence + 100);
    CHECK(after.durable_sequence == before.durable_sequence && after.syncs == before.syncs);
    CHECK_OK(freyja_sync(db));
    after = stats_of(db);
    CHECK(after.durable_sequence == after.last_sequence && after.syncs > before.syncs);
    /* Again, with nothing to do. */
    CHECK_OK(freyja_sync(db));
    CHECK_OK(freyja_close(db));
}

static void sleep_ms(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Nobody asks and writing never pauses, and still everything becomes durable at the interval's rate. */
static void interval_syncs_by_itself_while_writing_goes_on(const char *path, uint32_t threads) {
    freyja_db *db = open_in(path, FREYJA_SYNC_INTERVAL, 20, threads);
    CHECK_OK(put_text(db, "key", "value"));
    uint64_t first = stats_of(db).last_sequence;
    int waited;
    for (waited = 0; waited < 10000 && stats_of(db).durable_sequence < first; waited++) {
        CHECK_OK(put_text(db, "key", "value"));
        sleep_ms(1);
    }
    CHECK(waited < 10000);
    CHECK(stats_of(db).durable_sequence >= first);
    CHECK_OK(freyja_close(db));
}

/* The last write, too, after which no call comes any more. */
static void interval_syncs_the_last_write_without_further_calls(const char *path) {
    freyja_db *db = open_in(path, FREYJA_SYNC_INTERVAL, 20, 1);
    CHECK_OK(put_text(db, "key", "value"));
    uint64_t last = stats_of(db).last_sequence;
    int waited;
    for (waited = 0; waited < 1000 && stats_of(db).durable_sequence < last; waited++)
        sleep_ms(10);
    CHECK(waited < 1000);
    CHECK_OK(freyja_close(db));
}

/* Not every put syncs in the relaxed modes: the interval is far away. */
static void a_long_interval_does_not_sync_at_once(const char *path) {
    freyja_db *db = open_in(path, FREYJA_SYNC_INTERVAL, 3600000, 1);
    CHECK_OK(put_text(db, "first", "makes the segment"));
    uint64_t syncs = stats_of(db).syncs;
    for (int n = 0; n < 100; n++)
        CHECK_OK(put_text(db, "key", "value"));
    CHECK(stats_of(db).syncs == syncs);
    CHECK_OK(freyja_close(db));
}

static void closing_makes_everything_durable(const char *path, uint32_t sync_mode) {
    freyja_db *db = open_in(path, sync_mode, 3600000, 1);
    CHECK_OK(put_text(db, "last", "value"));
    uint64_t last = stats_of(db).last_sequence;
    CHECK_OK(freyja_close(db));
    db = open_in(path, FREYJA_SYNC_NONE, 0, 0);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.last_sequence == last && stats.durable_sequence == last);
    CHECK(stats.recovery_cut_bytes == 0);
    check_text(db, "last", "value");
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    always_means_durable_when_it_returns(path_in(argv[1], "always"));
    none_syncs_only_when_asked(path_in(argv[1], "none"));
    interval_syncs_by_itself_while_writing_goes_on(path_in(argv[1], "interval"), 1);
    interval_syncs_by_itself_while_writing_goes_on(path_in(argv[1], "interval without threads"), 0);
    interval_syncs_the_last_write_without_further_calls(path_in(argv[1], "last write"));
    a_long_interval_does_not_sync_at_once(path_in(argv[1], "long interval"));
    closing_makes_everything_durable(path_in(argv[1], "closing"), FREYJA_SYNC_NONE);
    closing_makes_everything_durable(path_in(argv[1], "closing"), FREYJA_SYNC_INTERVAL);
    return 0;
}
