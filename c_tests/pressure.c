/* The memory budget: what is told of it, who is told, and what can be changed while the store is open. */
#include "check.h"

static freyja_memory_pressure_t pressure_of(freyja_db *db) {
    freyja_memory_pressure_t pressure;
    CHECK_OK(freyja_memory_pressure(db, &pressure, sizeof pressure));
    CHECK(pressure.struct_size == sizeof pressure);
    return pressure;
}

/* Puts new keys until memory is refused. */
static uint64_t fill(freyja_db *db, uint64_t number) {
    char key[32];
    int status;
    do {
        int length = snprintf(key, sizeof key, "a key with number %llu", (unsigned long long)number);
        status = freyja_put(db, key, (size_t)length, "value", 5);
        number += status == FREYJA_OK;
    } while (status == FREYJA_OK);
    CHECK(status == FREYJA_MEMORY);
    return number;
}

static void without_a_budget_nothing_presses(freyja_db *db) {
    freyja_memory_pressure_t pressure = pressure_of(db);
    CHECK(pressure.level == FREYJA_MEMORY_NORMAL && pressure.budget_bytes == 0);
    CHECK(pressure.used_bytes > 0 && pressure.used_bytes == stats_of(db).memory_used_bytes);
    CHECK(pressure.milliseconds_to_critical == UINT64_MAX && pressure.confidence == 0);
    CHECK(pressure.forecast_30_seconds == pressure.used_bytes);
}

static void wrong_arguments_are_refused(freyja_db *db) {
    freyja_memory_pressure_t pressure;
    CHECK(freyja_memory_pressure(db, NULL, sizeof pressure) == FREYJA_INVALID);
    CHECK(freyja_memory_pressure(db, &pressure, 7) == FREYJA_INVALID);
    CHECK(freyja_memory_pressure(NULL, &pressure, sizeof pressure) == FREYJA_INVALID);
    CHECK(freyja_memory_set_budget(db, 1000) == FREYJA_INVALID);
    CHECK(freyja_memory_set_thresholds(db, 700, 700, 900, 950) == FREYJA_INVALID);
    CHECK(freyja_memory_set_thresholds(db, 700, 800, 900, 1001) == FREYJA_INVALID);
    CHECK(freyja_memory_set_thresholds(db, 0, 800, 900, 950) == FREYJA_INVALID);
}

struct heard {
    freyja_db *db;
    unsigned calls;
    uint32_t highest;
};

static void hear(void *user, const freyja_memory_pressure_t *pressure) {
    struct heard *heard = user;
    heard->calls++;
    if (pressure->level > heard->highest)
        heard->highest = pressure->level;
    CHECK(pressure->budget_bytes > 0);
    /* It may use the store. */
    CHECK(freyja_exists(heard->db, "no key", 6) == FREYJA_NOT_FOUND);
}

static void a_full_budget_refuses_and_tells(freyja_db *db) {
    struct heard heard = {db, 0, 0};
    CHECK_OK(freyja_memory_set_callback(db, hear, &heard));
    CHECK_OK(freyja_memory_set_budget(db, 2 << 20));
    uint64_t full = fill(db, 0);
    CHECK(full > 1000);
    /* Only freyja_maintain calls back, as there are no threads. */
    CHECK(heard.calls == 0);
    while (freyja_maintain(db) == FREYJA_OK)
        continue;
    CHECK(heard.calls > 0 && heard.highest == FREYJA_MEMORY_EMERGENCY);
    freyja_memory_pressure_t pressure = pressure_of(db);
    CHECK(pressure.level == FREYJA_MEMORY_EMERGENCY && pressure.budget_bytes == 2 << 20);
    CHECK(pressure.used_bytes <= pressure.budget_bytes);
    CHECK(pressure.milliseconds_to_critical == 0 && pressure.samples > 0);
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.memory_refusals > 0 && stats.memory_trims > 0 && stats.memory_evacuations > 0);
    CHECK(stats.memory_budget_bytes == 2 << 20);

    CHECK_OK(freyja_memory_set_callback(db, NULL, NULL));
    unsigned calls = heard.calls;
    CHECK_OK(freyja_memory_set_budget(db, 4 << 20));
    while (freyja_maintain(db) == FREYJA_OK)
        continue;
    CHECK(heard.calls == calls);
    CHECK(pressure_of(db).level < FREYJA_MEMORY_EMERGENCY);
    CHECK(fill(db, full) > full);
    CHECK_OK(freyja_memory_set_budget(db, 0));
    CHECK(pressure_of(db).level == FREYJA_MEMORY_NORMAL);
    CHECK_OK(freyja_put(db, "one", 3, "more", 4));
}

static void thresholds_count_at_once(freyja_db *db) {
    CHECK_OK(freyja_memory_set_budget(db, (uint64_t)1 << 30));
    CHECK(pressure_of(db).level == FREYJA_MEMORY_NORMAL);
    CHECK_OK(freyja_memory_set_thresholds(db, 1, 2, 998, 999));
    CHECK(pressure_of(db).level == FREYJA_MEMORY_GENTLE);
    CHECK_OK(freyja_memory_set_thresholds(db, 700, 800, 900, 950));
    CHECK(pressure_of(db).level == FREYJA_MEMORY_NORMAL);
}

static void the_system_tells_how_much_there_is(freyja_db *db) {
    CHECK_OK(freyja_memory_set_budget(db, FREYJA_BUDGET_AUTO));
    uint64_t budget = pressure_of(db).budget_bytes;
    CHECK(budget > 1 << 20 && budget < UINT64_MAX / 4);
    CHECK_OK(freyja_memory_set_budget(db, 0));
}

static void metrics_come_as_text(freyja_db *db) {
    size_t length = 0, again = 0;
    CHECK_STATUS(freyja_metrics(db, NULL, 0, &length), FREYJA_RANGE);
    CHECK(length > 1000);
    size_t room = length + 1000;
    char *text = malloc(room + 1);
    CHECK(freyja_metrics(db, text, 10, &again) == FREYJA_RANGE && again > 1000);
    CHECK_OK(freyja_metrics(db, text, room, &length));
    text[length] = 0;
    CHECK(strlen(text) == length && text[length - 1] == '\n');
    CHECK(strstr(text, "# TYPE freyja_puts_total counter\n") != NULL);
    CHECK(strstr(text, "freyja_pool_threads ") != NULL && strstr(text, "freyja_pins 0\n") != NULL);
    CHECK(freyja_metrics(db, NULL, 10, &length) == FREYJA_INVALID);
    CHECK(freyja_metrics(db, text, room, NULL) == FREYJA_INVALID);
    free(text);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_options options = default_options();
    options.sync_mode = FREYJA_SYNC_NONE;
    options.background_threads = 0;
    freyja_db *db = open_store(path_in(argv[1], "store"), &options);
    without_a_budget_nothing_presses(db);
    wrong_arguments_are_refused(db);
    a_full_budget_refuses_and_tells(db);
    thresholds_count_at_once(db);
    the_system_tells_how_much_there_is(db);
    void *buf = NULL;
    CHECK_OK(freyja_buf_alloc(100, &buf));
    freyja_free_buf(buf);
    metrics_come_as_text(db);
    CHECK_OK(freyja_close(db));
    freyja_memory_pressure_t pressure;
    size_t length;
    CHECK(freyja_memory_pressure(db, &pressure, sizeof pressure) == FREYJA_CLOSED);
    CHECK(freyja_memory_set_budget(db, 0) == FREYJA_CLOSED);
    CHECK(freyja_memory_set_thresholds(db, 1, 2, 3, 4) == FREYJA_CLOSED);
    CHECK(freyja_memory_set_callback(db, NULL, NULL) == FREYJA_CLOSED);
    CHECK(freyja_metrics(db, NULL, 0, &length) == FREYJA_CLOSED);
    return 0;
}
