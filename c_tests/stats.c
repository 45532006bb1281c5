/* Statistics say what happened. */
#include "check.h"

static void a_new_store_has_nothing(freyja_db *db) {
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.keys == 0 && stats.key_bytes == 0 && stats.dead_bytes == 0);
    CHECK(stats.puts == 0 && stats.gets == 0 && stats.deletes == 0);
    CHECK(stats.last_sequence == 0 && stats.durable_sequence == 0);
    CHECK(stats.recovered_records == 0 && stats.recovery_cut_bytes == 0);
    CHECK(stats.recovery_damaged_spans == 0 && stats.recovery_damaged_bytes == 0);
    CHECK(stats.recovery_missing_segments == 0);
}

static void operations_are_counted(freyja_db *db) {
    freyja_stats_t before = stats_of(db);
    char byte;
    size_t length;
    for (int n = 0; n < 30; n++)
        CHECK_OK(freyja_put(db, &n, sizeof n, "0123456789", 10));
    for (int n = 0; n < 10; n++)
        CHECK_OK(freyja_delete(db, &n, sizeof n));
    for (int n = 0; n < 10; n++)
        CHECK_STATUS(freyja_delete(db, &n, sizeof n), FREYJA_NOT_FOUND);
    for (int n = 0; n < 30; n++)
        CHECK_STATUS(freyja_get_into(db, &n, sizeof n, &byte, 1, &length),
                     n < 10 ? FREYJA_NOT_FOUND : FREYJA_RANGE);
    CHECK_STATUS(freyja_put(db, NULL, 1, NULL, 1), FREYJA_INVALID);
    freyja_stats_t after = stats_of(db);
    CHECK(after.puts == before.puts + 30);
    CHECK(after.deletes == before.deletes + 10);
    CHECK(after.gets == before.gets + 30);
    CHECK(after.last_sequence == before.last_sequence + 40);
    CHECK(after.keys == 20 && after.keys == count_of(db));
    CHECK(after.key_bytes == 20 * sizeof(int));
}

static void memory_and_disk_are_accounted_for(freyja_db *db) {
    enum { COUNT = 20000 };
    freyja_stats_t before = stats_of(db);
    char key[32];
    uint64_t key_bytes = before.key_bytes;
    for (int n = 0; n < COUNT; n++) {
        int key_len = snprintf(key, sizeof key, "a longer key %d", n);
        CHECK_OK(freyja_put(db, key, (size_t)key_len, "value", 5));
        key_bytes += (uint64_t)key_len;
    }
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.key_bytes == key_bytes);
    CHECK(stats.index_bytes > 6 * COUNT && stats.index_bytes < 60 * COUNT);
    CHECK(stats.slab_count > 0 && stats.slab_allocated_bytes >= stats.slab_count * 4096);
    CHECK(stats.slab_live_bytes >= stats.key_bytes);
    CHECK(stats.slab_live_bytes + stats.slab_wasted_bytes == stats.slab_allocated_bytes);
    CHECK(stats.segments > 1);
    CHECK(stats.disk_bytes > key_bytes + 5 * COUNT);
    CHECK(stats.dead_bytes < stats.disk_bytes);
    /* Overwriting makes the old records dead. */
    uint64_t dead = stats.dead_bytes;
    for (int n = 0; n < 1000; n++) {
        int key_len = snprintf(key, sizeof key, "a longer key %d", n);
        CHECK_OK(freyja_put(db, key, (size_t)key_len, "other", 5));
    }
    stats = stats_of(db);
    CHECK(stats.keys == before.keys + COUNT && stats.key_bytes == key_bytes);
    CHECK(stats.dead_bytes >= dead + 1000 * 21);
    CHECK(stats.recovery_microseconds < 1000000000u);
}

static void reopening_counts_anew_and_tells_what_was_found(const char *path, const freyja_options *options,
                                                           freyja_stats_t before) {
    freyja_db *db = open_store(path, options);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.puts == 0 && stats.gets == 0 && stats.deletes == 0);
    CHECK(stats.keys == before.keys && stats.key_bytes == before.key_bytes);
    CHECK(stats.recovery_way == FREYJA_RECOVERED_BY_IMAGE && stats.recovery_image_fault == FREYJA_IMAGE_USED);
    CHECK(stats.recovered_records == 0 && stats.shards_rebuilt == 0);
    CHECK(stats.last_sequence == before.last_sequence);
    CHECK(stats.dead_bytes == before.dead_bytes);
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *path = path_in(argv[1], "store");
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    options.segment_size = 256 << 10;
    freyja_db *db = open_store(path, &options);
    a_new_store_has_nothing(db);
    operations_are_counted(db);
    memory_and_disk_are_accounted_for(db);
    freyja_stats_t last = stats_of(db);
    CHECK_OK(freyja_close(db));
    reopening_counts_anew_and_tells_what_was_found(path, &options, last);
    return 0;
}
