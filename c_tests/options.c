/* Options: defaults, versions of the struct, what is refused, what the modes mean. */
#include "check.h"

#include <sys/stat.h>

static int try_open(const char *path, const freyja_options *options) {
    freyja_db *db = NULL;
    freyja_error error;
    memset(&error, 0, sizeof error);
    int status = freyja_open(path, options, &db, &error);
    if (status == FREYJA_OK) {
        CHECK(db != NULL && error.code == 0);
        CHECK_OK(freyja_close(db));
    } else {
        CHECK(db == NULL && error.code == status);
        CHECK(error.message[0] != '\0' && strlen(error.message) < sizeof error.message);
    }
    return status;
}

static void the_macro_and_the_function_agree(void) {
    freyja_options by_macro = FREYJA_OPTIONS_INIT, by_function;
    memset(&by_function, 0xaa, sizeof by_function);
    CHECK_OK(freyja_options_init(&by_function, sizeof by_function));
    CHECK(memcmp(&by_macro, &by_function, sizeof by_macro) == 0);
    CHECK(by_macro.struct_size == sizeof by_macro);
}

static void init_fills_exactly_the_callers_struct(void) {
    unsigned char bytes[128];
    uint32_t size;
    memset(bytes, 0xaa, sizeof bytes);
    CHECK_OK(freyja_options_init((freyja_options *)(void *)bytes, 96));
    memcpy(&size, bytes, sizeof size);
    CHECK(size == 96);
    for (size_t n = 64; n < 96; n++)
        CHECK(bytes[n] == 0);
    for (size_t n = 96; n < sizeof bytes; n++)
        CHECK(bytes[n] == 0xaa);
    memset(bytes, 0xaa, sizeof bytes);
    const size_t refused[] = {0, 4, 63, 4097, SIZE_MAX};
    for (size_t n = 0; n < sizeof refused / sizeof refused[0]; n++)
        CHECK_STATUS(freyja_options_init((freyja_options *)(void *)bytes, refused[n]), FREYJA_INVALID);
    CHECK_STATUS(freyja_options_init(NULL, sizeof(freyja_options)), FREYJA_INVALID);
    CHECK(bytes[0] == 0xaa && bytes[63] == 0xaa);
}

static void a_struct_of_a_later_version_works_while_its_new_fields_are_zero(const char *path) {
    struct {
        freyja_options known;
        uint64_t unknown[4];
    } later;
    CHECK_OK(freyja_options_init(&later.known, sizeof later));
    CHECK_OK(try_open(path, &later.known));
    later.unknown[3] = 1;
    CHECK_STATUS(try_open(path, &later.known), FREYJA_INVALID);
}

static void sizes_that_no_version_has_are_refused(const char *path) {
    const uint32_t sizes[] = {0, 1, 4, 32, 63, 4097, UINT32_MAX};
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        freyja_options options = FREYJA_OPTIONS_INIT;
        options.struct_size = sizes[n];
        CHECK_STATUS(try_open(path, &options), FREYJA_INVALID);
    }
}

static void numbers_without_a_meaning_are_refused(const char *directory) {
    const char *path = path_in(directory, "never made");
    struct stat status;
#define REFUSED(field, number)                                                               \
    do {                                                                                     \
        freyja_options options = FREYJA_OPTIONS_INIT;                                        \
        options.field = number;                                                              \
        CHECK_STATUS(try_open(path, &options), FREYJA_INVALID);                              \
        CHECK(stat(path, &status) != 0);                                                     \
    } while (0)
    REFUSED(flags, 8);
    REFUSED(flags, UINT32_MAX);
    REFUSED(flags, FREYJA_MUST_EXIST | FREYJA_MUST_BE_NEW);
    REFUSED(flags, FREYJA_READ_ONLY_STORE | FREYJA_MUST_BE_NEW);
    REFUSED(sync_mode, 3);
    REFUSED(key_storage, 2);
    REFUSED(read_mode, 2);
    REFUSED(read_checks, 2);
    REFUSED(slab_size, 5000);
    REFUSED(slab_size, 2048);
    REFUSED(segment_size, 1);
#undef REFUSED
}

static void a_store_that_must_exist_or_must_be_new(const char *directory) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    const char *path = path_in(directory, "modes");
    struct stat status;
    options.flags = FREYJA_MUST_EXIST;
    CHECK_STATUS(try_open(path, &options), FREYJA_NOT_FOUND);
    options.flags = FREYJA_READ_ONLY_STORE;
    CHECK_STATUS(try_open(path, &options), FREYJA_NOT_FOUND);
    CHECK(stat(path, &status) != 0);
    options.flags = FREYJA_MUST_BE_NEW;
    CHECK_OK(try_open(path, &options));
    CHECK_STATUS(try_open(path, &options), FREYJA_EXISTS);
    options.flags = FREYJA_MUST_EXIST;
    CHECK_OK(try_open(path, &options));
    options.flags = 0;
    CHECK_OK(try_open(path, &options));
}

static void a_store_for_reading_only_reads_and_refuses_to_write(const char *directory) {
    freyja_options options = FREYJA_OPTIONS_INIT;
    const char *path = path_in(directory, "read only");
    freyja_db *db = open_store(path, NULL);
    CHECK_OK(put_text(db, "key", "value"));
    CHECK_OK(freyja_close(db));
    for (int also_must_exist = 0; also_must_exist < 2; also_must_exist++) {
        options.flags = FREYJA_READ_ONLY_STORE | (also_must_exist ? FREYJA_MUST_EXIST : 0);
        db = open_store(path, &options);
        check_text(db, "key", "value");
        CHECK(count_of(db) == 1);
        CHECK_STATUS(put_text(db, "key", "other"), FREYJA_READ_ONLY);
        CHECK_STATUS(put_text(db, "new", "other"), FREYJA_READ_ONLY);
        CHECK_STATUS(delete_text(db, "key"), FREYJA_READ_ONLY);
        check_text(db, "key", "value");
        check_missing(db, "new", 3);
        CHECK_OK(freyja_close(db));
    }
}

/* Every combination of modes stores and finds again. */
static void all_modes_do_the_same(const char *directory) {
    for (uint32_t sync_mode = 0; sync_mode < 3; sync_mode++)
        for (uint32_t read_mode = 0; read_mode < 2; read_mode++)
            for (uint32_t threads = 0; threads < 2; threads++) {
                char name[64], key[32];
                freyja_options options = FREYJA_OPTIONS_INIT;
                snprintf(name, sizeof name, "modes %u %u %u", sync_mode, read_mode, threads);
                options.sync_mode = sync_mode;
                options.sync_interval_ms = 10;
                options.read_mode = read_mode;
                options.background_threads = threads;
                options.slab_size = 8192;
                options.expected_keys = 100;
                for (int again = 0; again < 2; again++) {
                    freyja_db *db = open_store(path_in(directory, name), &options);
                    for (int n = 0; n < 100; n++) {
                        snprintf(key, sizeof key, "key %d", n);
                        if (again == 0)
                            CHECK_OK(put_text(db, key, name));
                        check_text(db, key, name);
                    }
                    CHECK(count_of(db) == 100);
                    CHECK_OK(freyja_close(db));
                }
            }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    the_macro_and_the_function_agree();
    init_fills_exactly_the_callers_struct();
    a_struct_of_a_later_version_works_while_its_new_fields_are_zero(path_in(argv[1], "later"));
    sizes_that_no_version_has_are_refused(path_in(argv[1], "sizes"));
    numbers_without_a_meaning_are_refused(argv[1]);
    a_store_that_must_exist_or_must_be_new(argv[1]);
    a_store_for_reading_only_reads_and_refuses_to_write(argv[1]);
    all_modes_do_the_same(argv[1]);
    return 0;
}
