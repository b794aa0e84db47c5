#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

static bool fail(JsonReader *reader, const char *fault) {
    if (reader->fault == NULL) {
        reader->fault = fault;
    }
    return false;
}

static bool is_digit(char character) { return character >= '0' && character <= '9'; }

JsonReader json_reader(const char *text, size_t length) {
    return (JsonReader){.start = text, .next = text, .end = text + length, .fault = NULL};
}

char json_peek(JsonReader *reader) {
    while (reader->next < reader->end && strchr(" \t\r\n", *reader->next) != NULL && *reader->next != '\0') {
        reader->next++;
    }
    return reader->next < reader->end ? *reader->next : '\0';
}

bool json_accept(JsonReader *reader, char expected) {
    if (json_peek(reader) != expected || reader->next >= reader->end) {
        return false;
    }
    reader->next++;
    return true;
}

bool json_expect(JsonReader *reader, char expected) {
    if (json_accept(reader, expected)) {
        return true;
    }
    switch (expected) {
    case '{':
        return fail(reader, "an object must begin here");
    case '}':
        return fail(reader, "a comma or } must come here");
    case ']':
        return fail(reader, "a comma or ] must come here");
    case ':':
        return fail(reader, "a colon must come here");
    default:
        return fail(reader, "a string must begin here");
    }
}

bool json_at_end(JsonReader *reader) {
    (void)json_peek(reader);
    return reader->next == reader->end;
}

static int hex_value(char digit) {
    if (is_digit(digit)) {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool hex_unit(JsonReader *reader, uint32_t *unit) {
    *unit = 0;
    for (int place = 0; place < 4; place++) {
        int value = reader->next < reader->end ? hex_value(*reader->next) : -1;
        if (value < 0) {
            return fail(reader, "an escape with u needs four hexadecimal digits");
        }
        *unit = *unit << 4 | (uint32_t)value;
        reader->next++;
    }
    return true;
}

/* Reads the digits after \u, and the second half of a surrogate pair; half a pair becomes U+FFFD. */
static bool code_point(JsonReader *reader, uint32_t *point) {
    if (!hex_unit(reader, point)) {
        return false;
    }
    if (*point >= 0xD800 && *point < 0xDC00 && reader->end - reader->next >= 6 && memcmp(reader->next, "\\u", 2) == 0) {
        const char *second_half = reader->next;
        uint32_t low;
        reader->next += 2;
        if (!hex_unit(reader, &low)) {
            return false;
        }
        if (low >= 0xDC00 && low < 0xE000) {
            *point = 0x10000 + ((*point - 0xD800) << 10) + (low - 0xDC00);
            return true;
        }
        reader->next = second_half;
    }
    if (*point >= 0xD800 && *point < 0xE000) {
        *point = 0xFFFD;
    }
    return true;
}

static size_t utf8_bytes(uint32_t point, char bytes[4]) {
    if (point < 0x80) {
        bytes[0] = (char)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t place = length - 1; place > 0; place--) {
        bytes[place] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    bytes[0] = (char)(leads[length] | point);
    return length;
}

bool json_string(JsonReader *reader, char *text, size_t capacity) {
    if (!json_expect(reader, '"')) {
        return false;
    }
    size_t used = 0;
    bool fits = true;
    while (reader->next < reader->end && *reader->next != '"') {
        char bytes[4] = {*reader->next};
        size_t length = 1;
        if ((unsigned char)*reader->next < 0x20) {
            return fail(reader, "a control character in a string must be escaped");
        }
        reader->next++;
        if (bytes[0] == '\\') {
            static const char names[] = "\"\\/bfnrt";
            static const char meanings[] = "\"\\/\b\f\n\r\t";
            char name = reader->next < reader->end ? *reader->next : '\0';
            const char *found = name == '\0' ? NULL : strchr(names, name);
            if (found == NULL && name != 'u') {
                return fail(reader, "this escape does not exist");
            }
            reader->next++;
            if (found != NULL) {
                bytes[0] = meanings[found - names];
            } else {
                uint32_t point;
                if (!code_point(reader, &point)) {
                    return false;
                }
                length = utf8_bytes(point, bytes);
            }
        }
        fits = fits && used + length < capacity;
        if (fits) {
            memcpy(text + used, bytes, length);
            used += length;
        }
    }
    if (reader->next >= reader->end) {
        return fail(reader, "the string does not end");
    }
    reader->next++;
    if (capacity > 0) {
        text[fits ? used : 0] = '\0';
    }
    return true;
}

static const char *digits(const char *place, const char *end) {
    while (place < end && is_digit(*place)) {
        place++;
    }
    return place;
}

bool json_number(JsonReader *reader, double *number) {
    (void)json_peek(reader);
    const char *end = reader->end;
    const char *place = reader->next;
    place += place < end && *place == '-';
    const char *whole = place;
    place = digits(place, end);
    if (place == whole || (*whole == '0' && place - whole > 1)) {
        return fail(reader, "this is not a number");
    }
    if (place < end && *place == '.') {
        const char *fraction = place + 1;
        place = digits(fraction, end);
        if (place == fraction) {
            return fail(reader, "digits must follow the point of a number");
        }
    }
    if (place < end && (*place == 'e' || *place == 'E')) {
        place++;
        place += place < end && (*place == '+' || *place == '-');
        const char *exponent = place;
        place = digits(place, end);
        if (place == exponent) {
            return fail(reader, "digits must follow the exponent of a number");
        }
    }
    *number = strtod(reader->next, NULL);
    reader->next = place;
    return true;
}

bool json_word(JsonReader *reader, const char *word) {
    (void)json_peek(reader);
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->next) < length || memcmp(reader->next, word, length) != 0) {
        return false;
    }
    reader->next += length;
    return true;
}

static bool skip_value(JsonReader *reader, int depth) {
    double number;
    char first = json_peek(reader);
    if (depth > MAX_DEPTH) {
        return fail(reader, "the value is nested too deeply");
    }
    if (first == '"') {
        return json_string(reader, NULL, 0);
    }
    if (first == '-' || is_digit(first)) {
        return json_number(reader, &number);
    }
    if (first != '{' && first != '[') {
        bool known = json_word(reader, "null") || json_word(reader, "true") || json_word(reader, "false");
        return known || fail(reader, "a value must come here");
    }
    char last = first == '{' ? '}' : ']';
    reader->next++;
    if (json_accept(reader, last)) {
        return true;
    }
    do {
        if (first == '{' && !(json_string(reader, NULL, 0) && json_expect(reader, ':'))) {
            return false;
        }
        if (!skip_value(reader, depth + 1)) {
            return false;
        }
    } while (json_accept(reader, ','));
    return json_expect(reader, last);
}

bool json_skip(JsonReader *reader) { return skip_value(reader, 0); }
