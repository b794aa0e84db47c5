/* A prediction server in C: HTTP/1.1 with kept-alive connections, one thread each.

   GET $URL_PREFIX/ answers 200 with an empty body, POST $URL_PREFIX/predict_no_state/ answers predictions.
   Usage: scorer weights.csv. PORT (8080) and HOST (127.0.0.1) say where to listen. SIGTERM ends it gracefully. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "model.h"

enum { MAX_HEAD_BYTES = 16 * 1024, MAX_CONNECTIONS = 256, IDLE_TIMEOUT_S = 75, SEND_TIMEOUT_S = 30 };
static const size_t MAX_BODY_BYTES = 50u * 1024 * 1024;

typedef struct {
    int socket;
    char *bytes; /* what has arrived and is not answered yet, and room for a NUL byte */
    size_t used;
    size_t capacity;
} Connection;

typedef struct {
    char method[16];
    char *path;
    bool keep_alive;
    bool expects_continue;
    bool chunked;
    bool bad_length;
    size_t body_bytes;
} Request;

static Model model;
static char prefix[1024];
static atomic_int connection_count;
static atomic_int busy_count;
static volatile sig_atomic_t stopping;

static void on_stop_signal(int signal_number) { stopping = signal_number; }

static const char *reason_phrase(int status) {
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 431: return "Request Header Fields Too Large";
    default: return "Service Unavailable";
    }
}

static bool send_all(int socket, const char *bytes, size_t length, int flags) {
    while (length > 0) {
        ssize_t sent = send(socket, bytes, length, flags | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* Sends an answer and frees it. An answer without a body (status 200 to GET) has length 0. */
static bool send_answer(int socket, Answer answer, bool keep_alive) {
    char head[256];
    const char *type = answer.length > 0 ? "Content-Type: application/json\r\n" : "";
    const char *allow = answer.status == 405 ? "Allow: GET, HEAD, POST\r\n" : "";
    int length = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\n%s%sContent-Length: %zu\r\nConnection: %s\r\n\r\n",
                          answer.status, reason_phrase(answer.status), type, allow, answer.length,
                          keep_alive ? "keep-alive" : "close");
    bool sent = send_all(socket, head, (size_t)length, answer.length > 0 ? MSG_MORE : 0) &&
                send_all(socket, answer.body, answer.length, 0);
    free(answer.body);
    return sent;
}

/* Receives more bytes, so that up to `wanted` fit. False at the end of the connection, or when memory is short. */
static bool receive(Connection *connection, size_t wanted) {
    if (connection->used == connection->capacity) {
        size_t capacity = connection->capacity == 0 ? 4096 : connection->capacity * 2;
        capacity = capacity > wanted && wanted > connection->used ? wanted : capacity;
        char *bytes = realloc(connection->bytes, capacity + 1);
        if (bytes == NULL) {
            return false;
        }
        connection->bytes = bytes;
        connection->capacity = capacity;
    }
    ssize_t received;
    do {
        received = recv(connection->socket, connection->bytes + connection->used,
                        connection->capacity - connection->used, 0);
    } while (received < 0 && errno == EINTR);
    if (received <= 0) {
        return false;
    }
    connection->used += (size_t)received;
    connection->bytes[connection->used] = '\0';
    return true;
}

static void drop_answered(Connection *connection, size_t length) {
    connection->used -= length;
    memmove(connection->bytes, connection->bytes + length, connection->used);
    connection->bytes[connection->used] = '\0';
    if (connection->used == 0 && connection->capacity > 1024 * 1024) {
        free(connection->bytes);
        connection->bytes = NULL;
        connection->capacity = 0;
    }
}

static void read_field(Request *request, const char *name, const char *value, bool *has_length) {
    if (strcasecmp(name, "Content-Length") == 0) {
        size_t digits = strspn(value, "0123456789");
        unsigned long long length = digits > 18 ? ~0ULL : strtoull(value, NULL, 10);
        request->bad_length = request->bad_length || digits == 0 || value[digits] != '\0' ||
                              (*has_length && length != request->body_bytes);
        request->body_bytes = (size_t)length;
        *has_length = true;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        request->chunked = true;
    } else if (strcasecmp(name, "Connection") == 0) {
        if (strcasecmp(value, "close") == 0) {
            request->keep_alive = false;
        } else if (strcasecmp(value, "keep-alive") == 0) {
            request->keep_alive = true;
        }
    } else if (strcasecmp(name, "Expect") == 0) {
        request->expects_continue = strcasecmp(value, "100-continue") == 0;
    }
}

/* Reads the head, a NUL-terminated text that is cut up in place. */
static bool read_head(char *head, Request *request) {
    char *rest;
    char *line = strtok_r(head, "\r\n", &rest);
    *request = (Request){0};
    char *space = line == NULL ? NULL : strchr(line, ' ');
    char *second_space = space == NULL ? NULL : strchr(space + 1, ' ');
    if (second_space == NULL || (size_t)(space - line) >= sizeof request->method || space[1] != '/' ||
        strncmp(second_space + 1, "HTTP/1.", 7) != 0) {
        return false;
    }
    memcpy(request->method, line, (size_t)(space - line));
    *second_space = '\0';
    request->path = space + 1;
    request->path[strcspn(request->path, "?")] = '\0';
    request->keep_alive = second_space[8] != '0';
    bool has_length = false;
    while ((line = strtok_r(NULL, "\r\n", &rest)) != NULL) {
        char *colon = strchr(line, ':');
        if (colon == NULL || colon == line) {
            return false;
        }
        *colon = '\0';
        char *value = colon + 1 + strspn(colon + 1, " \t");
        for (char *last = value + strlen(value); last > value && (last[-1] == ' ' || last[-1] == '\t'); last--) {
            last[-1] = '\0';
        }
        read_field(request, line, value, &has_length);
    }
    return true;
}

/* True when the path is the prefix and then `route`, with or without the last slash. */
static bool is_route(const char *path, const char *route) {
    size_t prefix_length = strlen(prefix);
    size_t route_length = strlen(route);
    if (strncmp(path, prefix, prefix_length) != 0 || strncmp(path + prefix_length, route, route_length) != 0) {
        return false;
    }
    const char *rest = path + prefix_length + route_length;
    return strcmp(rest, "/") == 0 || *rest == '\0';
}

static Answer answer_request(const Request *request, const char *body) {
    if (is_route(request->path, "/predict_no_state")) {
        return strcmp(request->method, "POST") == 0 ? model_answer(&model, body, request->body_bytes)
                                                    : message_answer(405, "use POST");
    }
    if (!is_route(request->path, "")) {
        return message_answer(404, "there is no such route; use / or /predict_no_state/");
    }
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    return reads ? (Answer){.status = 200} : message_answer(405, "use GET");
}

/* What is wrong with a request by its head alone; status 0 when nothing is. */
static Answer refusal_of_head(const Request *request) {
    if (request->chunked) {
        return message_answer(411, "send the body with a Content-Length");
    }
    if (request->bad_length) {
        return message_answer(400, "the Content-Length is not a number");
    }
    if (request->body_bytes > MAX_BODY_BYTES) {
        return message_answer(413, "the body is larger than 50 MB");
    }
    return (Answer){0};
}

/* Answers one request. False when the connection is to be closed. */
static bool serve_request(Connection *connection) {
    char *blank_line;
    while (connection->used == 0 || (blank_line = strstr(connection->bytes, "\r\n\r\n")) == NULL) {
        if (connection->used >= MAX_HEAD_BYTES) {
            (void)send_answer(connection->socket, message_answer(431, "the header is larger than 16 KiB"), false);
            return false;
        }
        if (connection->used > 0 && strlen(connection->bytes) < connection->used) {
            (void)send_answer(connection->socket, message_answer(400, "the header holds a NUL byte"), false);
            return false;
        }
        if (!receive(connection, MAX_HEAD_BYTES)) {
            return false;
        }
    }
    size_t head_bytes = (size_t)(blank_line - connection->bytes) + 4;
    Request request;
    char head[MAX_HEAD_BYTES + 1];
    if (head_bytes > MAX_HEAD_BYTES) {
        (void)send_answer(connection->socket, message_answer(431, "the header is larger than 16 KiB"), false);
        return false;
    }
    memcpy(head, connection->bytes, head_bytes);
    head[head_bytes] = '\0';
    Answer refusal = read_head(head, &request) ? refusal_of_head(&request)
                                               : message_answer(400, "this is not an HTTP/1 request");
    if (refusal.status != 0) {
        (void)send_answer(connection->socket, refusal, false);
        return false;
    }
    size_t total_bytes = head_bytes + request.body_bytes;
    if (request.expects_continue && connection->used < total_bytes &&
        !send_all(connection->socket, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0)) {
        return false;
    }
    while (connection->used < total_bytes) {
        if (!receive(connection, total_bytes)) {
            return false;
        }
    }
    /* The body must end in a NUL byte; the next request may begin there already. */
    char next = connection->bytes[total_bytes];
    connection->bytes[total_bytes] = '\0';
    atomic_fetch_add(&busy_count, 1);
    Answer answer = answer_request(&request, connection->bytes + head_bytes);
    connection->bytes[total_bytes] = next;
    /* The answer to HEAD ought to have no body; closing spares the client from guessing where it ends. */
    bool keep_alive = request.keep_alive && !stopping && strcmp(request.method, "HEAD") != 0;
    bool sent = send_answer(connection->socket, answer, keep_alive);
    atomic_fetch_sub(&busy_count, 1);
    drop_answered(connection, total_bytes);
    return sent && keep_alive;
}

/* Reads away what a refused client still sends, else the kernel would take our answer back from it. */
static void close_gently(int socket) {
    char unread[16 * 1024];
    struct timeval patience = {.tv_sec = 2};
    size_t total = 0;
    ssize_t received;
    (void)shutdown(socket, SHUT_WR);
    (void)setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (total < 2 * MAX_BODY_BYTES && (received = recv(socket, unread, sizeof unread, 0)) > 0) {
        total += (size_t)received;
    }
    (void)close(socket);
}

static void *serve_connection(void *argument) {
    Connection connection = {.socket = (int)(long)argument};
    struct timeval idle = {.tv_sec = IDLE_TIMEOUT_S};
    struct timeval slow = {.tv_sec = SEND_TIMEOUT_S};
    int on = 1;
    (void)setsockopt(connection.socket, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
    (void)setsockopt(connection.socket, SOL_SOCKET, SO_SNDTIMEO, &slow, sizeof slow);
    (void)setsockopt(connection.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (serve_request(&connection)) {
    }
    close_gently(connection.socket);
    free(connection.bytes);
    atomic_fetch_sub(&connection_count, 1);
    return NULL;
}

static int listen_on(const char *host, const char *port_text) {
    char *rest;
    long port = strtol(port_text, &rest, 10);
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1;
    if (port < 1 || port > 65535 || *rest != '\0' || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        (void)fprintf(stderr, "cannot listen on %s:%s: this is not an IPv4 address and a port\n", host, port_text);
        return -1;
    }
    address.sin_port = htons((unsigned short)port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 512) != 0) {
        (void)fprintf(stderr, "cannot listen on %s:%s: %s\n", host, port_text, strerror(errno));
        return -1;
    }
    return listener;
}

/* Accepts connections until a stop signal arrives, which it can do only while this waits. */
static void accept_connections(int listener, const sigset_t *while_waiting) {
    pthread_attr_t detached;
    (void)pthread_attr_init(&detached);
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (!stopping) {
        struct pollfd waiting = {.fd = listener, .events = POLLIN};
        if (ppoll(&waiting, 1, NULL, while_waiting) <= 0) {
            continue;
        }
        int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket < 0) {
            continue;
        }
        pthread_t thread;
        if (atomic_fetch_add(&connection_count, 1) >= MAX_CONNECTIONS ||
            pthread_create(&thread, &detached, serve_connection, (void *)(long)socket) != 0) {
            (void)send_answer(socket, message_answer(503, "too many connections"), false);
            (void)close(socket);
            atomic_fetch_sub(&connection_count, 1);
        }
    }
}

int main(int argument_count, char **arguments) {
    char message[MESSAGE_BYTES];
    if (argument_count != 2) {
        (void)fprintf(stderr, "usage: scorer weights.csv\n");
        return 2;
    }
    if (!model_load(&model, arguments[1], message)) {
        (void)fprintf(stderr, "%s\n", message);
        return 1;
    }
    const char *url_prefix = getenv("URL_PREFIX");
    (void)snprintf(prefix, sizeof prefix, "%s", url_prefix == NULL ? "" : url_prefix);
    for (size_t length = strlen(prefix); length > 0 && prefix[length - 1] == '/'; length--) {
        prefix[length - 1] = '\0';
    }

    struct sigaction stop = {.sa_handler = on_stop_signal};
    sigset_t stop_signals;
    sigset_t while_waiting;
    (void)sigemptyset(&stop_signals);
    (void)sigaddset(&stop_signals, SIGTERM);
    (void)sigaddset(&stop_signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &stop_signals, &while_waiting);
    (void)sigdelset(&while_waiting, SIGTERM);
    (void)sigdelset(&while_waiting, SIGINT);
    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGINT, &stop, NULL);

    const char *host = getenv("HOST");
    const char *port = getenv("PORT");
    int listener = listen_on(host == NULL ? "127.0.0.1" : host, port == NULL ? "8080" : port);
    if (listener < 0) {
        return 1;
    }
    (void)printf("serving %zu columns on port %s\n", model.column_count, port == NULL ? "8080" : port);
    (void)fflush(stdout);
    accept_connections(listener, &while_waiting);
    (void)close(listener);
    for (int waited = 0; atomic_load(&busy_count) > 0 && waited < 500; waited++) {
        (void)usleep(10 * 1000);
    }
    return 0;
}
