/* What is written is there when the store is opened again, again and again, over many segments. */
#include "check.h"

enum { KEYS = 400, GENERATIONS = 8 };

static size_t value_for(char *value, int key, int generation) {
    size_t length = (size_t)(key * 13 + generation * 101) % 2000;
    memset(value, 'a' + (key + generation) % 26, length);
    return length;
}

/* The last generation that wrote key `key`, or -1 if it was deleted: each generation writes two thirds of the
 * keys and deletes one in seven. */
static int last_writer(int key, int generation) {
    for (; generation >= 0; generation--) {
        if ((key + generation) % 7 == 0)
            return -1;
        if ((key + generation) % 3 != 0)
            return generation;
    }
    return -1;
}

static void write_generation(freyja_db *db, int generation) {
    char value[2000];
    for (int key = 0; key < KEYS; key++) {
        if ((key + generation) % 7 == 0) {
            int expected = last_writer(key, generation - 1) >= 0 ? FREYJA_OK : FREYJA_NOT_FOUND;
            CHECK_STATUS(freyja_delete(db, &key, sizeof key), expected);
        } else if ((key + generation) % 3 != 0) {
            size_t length = value_for(value, key, generation);
            CHECK_OK(freyja_put(db, &key, sizeof key, value, length));
        }
    }
}

static void check_generation(freyja_db *db, int generation) {
    char value[2000];
    uint64_t present = 0;
    for (int key = 0; key < KEYS; key++) {
        int writer = last_writer(key, generation);
        if (writer < 0) {
            check_missing(db, &key, sizeof key);
        } else {
            check_value(db, &key, sizeof key, value, value_for(value, key, writer));
            present++;
        }
    }
    CHECK(count_of(db) == present);
}

/* With keys in memory or on disk, or with either in turn: any store opens either way. */
static void generations_survive(const char *path, uint32_t read_mode, const uint32_t key_storage[2]) {
    freyja_options options = default_options();
    options.segment_size = 64 << 10;
    options.read_mode = read_mode;
    options.sync_mode = FREYJA_SYNC_NONE;
    uint64_t last_sequence = 0;
    for (int generation = 0; generation < GENERATIONS; generation++) {
        options.key_storage = key_storage[generation % 2];
        freyja_db *db = open_store(path, &options);
        freyja_stats_t stats = stats_of(db);
        CHECK(stats.last_sequence == last_sequence);
        CHECK(stats.recovery_cut_bytes == 0 && stats.recovery_damaged_spans == 0);
        CHECK(stats.recovery_missing_segments == 0);
        /* A closed store opens from the image of its index, without reading a record. */
        CHECK(stats.recovered_records == 0);
        CHECK(stats.recovery_way == (generation == 0 ? FREYJA_RECOVERED_BY_SCAN : FREYJA_RECOVERED_BY_IMAGE));
        check_generation(db, generation - 1);
        write_generation(db, generation);
        check_generation(db, generation);
        last_sequence = stats_of(db).last_sequence;
        CHECK((options.key_storage == FREYJA_KEYS_ON_DISK) == (stats_of(db).slab_count == 0));
        CHECK(options.key_storage == FREYJA_KEYS_IN_MEMORY || stats_of(db).missing_keys == 0);
        CHECK(generation == 0 || stats_of(db).segments > 3);
        CHECK_OK(freyja_close(db));
    }
    /* Opening and closing without writing changes nothing. */
    for (int again = 0; again < 3; again++) {
        freyja_db *db = open_store(path, &options);
        check_generation(db, GENERATIONS - 1);
        CHECK(stats_of(db).last_sequence == last_sequence);
        CHECK_OK(freyja_close(db));
    }
}

static void an_empty_store_can_be_opened_again(const char *path) {
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(freyja_close(db));
    db = open_store(path, NULL);
    CHECK(count_of(db) == 0);
    CHECK_OK(put_text(db, "answer", "42"));
    CHECK_OK(freyja_close(db));
    db = open_store(path, NULL);
    check_text(db, "answer", "42");
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    an_empty_store_can_be_opened_again(path_in(argv[1], "empty at first"));
    const uint32_t memory[2] = {FREYJA_KEYS_IN_MEMORY, FREYJA_KEYS_IN_MEMORY};
    const uint32_t disk[2] = {FREYJA_KEYS_ON_DISK, FREYJA_KEYS_ON_DISK};
    const uint32_t mixed[2] = {FREYJA_KEYS_IN_MEMORY, FREYJA_KEYS_ON_DISK};
    generations_survive(path_in(argv[1], "mapped"), FREYJA_READ_MAPPED, memory);
    generations_survive(path_in(argv[1], "pread"), FREYJA_READ_PREAD, memory);
    generations_survive(path_in(argv[1], "keys on disk"), FREYJA_READ_MAPPED, disk);
    generations_survive(path_in(argv[1], "keys on disk, pread"), FREYJA_READ_PREAD, disk);
    generations_survive(path_in(argv[1], "mixed"), FREYJA_READ_MAPPED, mixed);
    return 0;
}
