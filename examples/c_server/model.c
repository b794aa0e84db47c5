#include "model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

typedef struct {
    double *values;
    size_t count;
    size_t capacity;
    bool present;
} Series;

typedef struct {
    int status;
    char message[MESSAGE_BYTES];
} Refusal;

__attribute__((format(printf, 3, 4))) static bool refuse(Refusal *refusal, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(refusal->message, sizeof refusal->message, format, arguments);
    va_end(arguments);
    refusal->status = status;
    return false;
}

static bool refuse_malformed(Refusal *refusal, const JsonReader *reader) {
    const char *fault = reader->fault != NULL ? reader->fault : "nothing may follow here";
    return refuse(refusal, 400, "the request is not JSON: %s (byte %zu)", fault, (size_t)(reader->next - reader->start));
}

bool model_load(Model *model, const char *path, char message[MESSAGE_BYTES]) {
    char line[256];
    size_t line_number = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        (void)snprintf(message, MESSAGE_BYTES, "cannot open %.200s", path);
        return false;
    }
    *model = (Model){0};
    while (fgets(line, sizeof line, file) != NULL) {
        Column column;
        if (++line_number == 1 || line[strspn(line, " \r\n")] == '\0') {
            continue;
        }
        int fields = sscanf(line, "%63[a-z0-9_],%lf,%lf", column.name, &column.weight, &column.typical);
        if (fields == 2 && strcmp(column.name, "intercept") == 0) {
            model->intercept = column.weight;
        } else if (fields == 3 && model->column_count < MAX_COLUMNS) {
            model->columns[model->column_count++] = column;
        } else {
            (void)snprintf(message, MESSAGE_BYTES, "%.200s, line %zu: must be name,weight,typical", path, line_number);
            (void)fclose(file);
            return false;
        }
    }
    (void)fclose(file);
    if (model->column_count == 0) {
        (void)snprintf(message, MESSAGE_BYTES, "%.200s holds no columns", path);
        return false;
    }
    return true;
}

static bool append(Series *series, double value) {
    if (series->count == series->capacity) {
        size_t capacity = series->capacity == 0 ? 64 : series->capacity * 2;
        double *values = realloc(series->values, capacity * sizeof *values);
        if (values == NULL) {
            return false;
        }
        series->values = values;
        series->capacity = capacity;
    }
    series->values[series->count++] = value;
    return true;
}

static bool read_number(JsonReader *reader, const Column *column, size_t row, double *value, Refusal *refusal) {
    char first = json_peek(reader);
    if (json_word(reader, "null")) {
        *value = column->typical;
        return true;
    }
    if (json_word(reader, "true") || json_word(reader, "false")) {
        *value = first == 't';
        return true;
    }
    if (first == '-' || (first >= '0' && first <= '9')) {
        if (!json_number(reader, value)) {
            return refuse_malformed(refusal, reader);
        }
        return isfinite(*value) || refuse(refusal, 422, "column %s, row %zu: is too large", column->name, row);
    }
    /* A value of another kind is the client's mistake; text that is no value at all is malformed. */
    if (!json_skip(reader)) {
        return refuse_malformed(refusal, reader);
    }
    return refuse(refusal, 422, "column %s, row %zu: must be a number or null", column->name, row);
}

/* Reads a list. `column` is NULL for a column that the model does not use; then values are only counted. */
static bool read_series(JsonReader *reader, const Column *column, Series *series, Refusal *refusal) {
    series->count = 0;
    series->present = true;
    if (json_peek(reader) != '[') {
        return json_skip(reader) ? refuse(refusal, 422, "every column of X must be a list")
                                 : refuse_malformed(refusal, reader);
    }
    (void)json_accept(reader, '[');
    if (json_accept(reader, ']')) {
        return true;
    }
    do {
        double value = 0;
        if (series->count >= MAX_ROWS) {
            return refuse(refusal, 413, "at most %d rows fit into one request", MAX_ROWS);
        }
        if (column == NULL) {
            if (!json_skip(reader)) {
                return refuse_malformed(refusal, reader);
            }
            series->count++;
            continue;
        }
        if (!read_number(reader, column, series->count, &value, refusal)) {
            return false;
        }
        if (!append(series, value)) {
            return refuse(refusal, 503, "not enough memory for this request");
        }
    } while (json_accept(reader, ','));
    return json_expect(reader, ']') || refuse_malformed(refusal, reader);
}

static bool read_table(JsonReader *reader, const Model *model, Series *table, size_t *row_count, Refusal *refusal) {
    bool first = true;
    if (json_peek(reader) != '{') {
        return json_skip(reader) ? refuse(refusal, 422, "X must be an object of columns")
                                 : refuse_malformed(refusal, reader);
    }
    (void)json_accept(reader, '{');
    if (json_accept(reader, '}')) {
        return true;
    }
    do {
        char name[NAME_BYTES];
        Series unused = {0};
        Series *series = &unused;
        const Column *column = NULL;
        if (!json_string(reader, name, sizeof name) || !json_expect(reader, ':')) {
            return refuse_malformed(refusal, reader);
        }
        for (size_t place = 0; place < model->column_count; place++) {
            if (strcmp(model->columns[place].name, name) == 0) {
                column = &model->columns[place];
                series = &table[place];
            }
        }
        if (!read_series(reader, column, series, refusal)) {
            return false;
        }
        if (!first && series->count != *row_count) {
            return refuse(refusal, 422, "the columns of X have different lengths: %zu and %zu", *row_count, series->count);
        }
        *row_count = series->count;
        first = false;
    } while (json_accept(reader, ','));
    return json_expect(reader, '}') || refuse_malformed(refusal, reader);
}

static bool read_request(JsonReader *reader, const Model *model, Series *table, size_t *row_count, Refusal *refusal) {
    bool found = false;
    if (json_peek(reader) != '{') {
        return json_skip(reader) && json_at_end(reader) ? refuse(refusal, 422, "the request must be an object with X")
                                                        : refuse_malformed(refusal, reader);
    }
    (void)json_accept(reader, '{');
    if (!json_accept(reader, '}')) {
        do {
            char name[NAME_BYTES];
            if (!json_string(reader, name, sizeof name) || !json_expect(reader, ':')) {
                return refuse_malformed(refusal, reader);
            }
            if (strcmp(name, "X") != 0) {
                if (!json_skip(reader)) {
                    return refuse_malformed(refusal, reader);
                }
                continue;
            }
            if (found) {
                return refuse(refusal, 422, "the request holds X twice");
            }
            found = true;
            if (!read_table(reader, model, table, row_count, refusal)) {
                return false;
            }
        } while (json_accept(reader, ','));
        if (!json_expect(reader, '}')) {
            return refuse_malformed(refusal, reader);
        }
    }
    if (!json_at_end(reader)) {
        return refuse_malformed(refusal, reader);
    }
    if (!found) {
        return refuse(refusal, 422, "the request must be an object with X");
    }
    for (size_t place = 0; place < model->column_count; place++) {
        if (!table[place].present) {
            return refuse(refusal, 422, "missing column: %s", model->columns[place].name);
        }
    }
    return true;
}

static Answer predictions(const Model *model, const Series *table, size_t row_count) {
    enum { NUMBER_BYTES = 32 };
    static const char head[] = "{\"predictions\": [";
    size_t capacity = sizeof head + row_count * NUMBER_BYTES + 4;
    char *body = malloc(capacity);
    if (body == NULL) {
        return message_answer(503, "not enough memory for this answer");
    }
    size_t used = sizeof head - 1;
    memcpy(body, head, sizeof head);
    for (size_t row = 0; row < row_count; row++) {
        double sum = model->intercept;
        for (size_t place = 0; place < model->column_count; place++) {
            sum += model->columns[place].weight * table[place].values[row];
        }
        if (!isfinite(sum)) {
            char message[MESSAGE_BYTES];
            (void)snprintf(message, sizeof message, "row %zu: its values are too large to be predicted", row);
            free(body);
            return message_answer(422, message);
        }
        used += (size_t)snprintf(body + used, capacity - used, "%s%.10g", row == 0 ? "" : ", ", sum);
    }
    memcpy(body + used, "]}", 3);
    return (Answer){.status = 200, .body = body, .length = used + 2};
}

Answer message_answer(int status, const char *message) {
    static const char format[] = "{\"message\": \"%s\"}";
    size_t length = strlen(message) + sizeof format - 3;
    char *body = malloc(length + 1);
    if (body != NULL) {
        (void)snprintf(body, length + 1, format, message);
    }
    return (Answer){.status = status, .body = body, .length = body == NULL ? 0 : length};
}

Answer model_answer(const Model *model, const char *request, size_t length) {
    Series table[MAX_COLUMNS] = {0};
    size_t row_count = 0;
    Refusal refusal = {0};
    JsonReader reader = json_reader(request, length);
    Answer answer = read_request(&reader, model, table, &row_count, &refusal)
                        ? predictions(model, table, row_count)
                        : message_answer(refusal.status, refusal.message);
    for (size_t place = 0; place < model->column_count; place++) {
        free(table[place].values);
    }
    return answer;
}
