/* SPDX-License-Identifier: Apache-2.0 */
/* values.c - what the values of options may be. Pure. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "util/num.h"
#include "util/signame.h"

/* ---- numbers ------------------------------------------------------------------------------------- */

static int parse_number(const char *s, uint64_t max, uint64_t *ret)
{
	return num_parse(s, strlen(s), 10, max, ret);
}

static int parse_uint(const char *s, uint32_t *ret)
{
	uint64_t v;
	int r = parse_number(s, UINT32_MAX, &v);

	if (r < 0 || v == 0)
		return r < 0 ? r : -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int parse_seconds(const char *s, int *ret_ms)
{
	double v;

	if (num_fraction(s, strlen(s), &v) < 0 || v < 0.001)
		return -EINVAL;
	if (v > INT32_MAX / 1000)
		return -ERANGE;
	*ret_ms = (int)(v * 1000);
	return 0;
}

/* "90", "12h", "7d": seconds. */
static int parse_age(const char *s, int64_t *ret_s)
{
	static const struct {
		char letter;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	size_t len = strlen(s);
	int64_t unit = 1;
	uint64_t v;

	for (size_t i = 0; i < countof(units) && len > 0; i++)
		if (s[len - 1] == units[i].letter) {
			unit = units[i].seconds;
			len--;
			break;
		}
	int r = num_parse(s, len, 10, INT32_MAX, &v);
	*ret_s = (int64_t)v * unit;
	return r;
}

static int parse_timeout(const char *s, int *ret_ms)
{
	if (strcmp(s, "0") != 0)
		return parse_seconds(s, ret_ms);
	*ret_ms = CONKER_NO_TIMEOUT;
	return 0;
}

static int parse_bytes(const char *s, double unit, uint64_t *ret)
{
	static const char letters[] = "KMG";
	size_t len = strlen(s);
	const char *letter = len && s[len - 1] ? strchr(letters, s[len - 1]) : NULL;
	double v;

	if (letter) {
		unit = (double)(1ULL << (10 * (letter - letters + 1)));
		len--;
	}
	if (num_fraction(s, len, &v) < 0 || v * unit < 1)
		return -EINVAL;
	if (v * unit > (double)(1ULL << 50))
		return -ERANGE;
	*ret = (uint64_t)(v * unit);
	return 0;
}

/* -EDOM: a part of a MiB is left over. */
static int parse_memory(const char *s, uint32_t *ret_mib)
{
	uint64_t bytes;
	int r = parse_bytes(s, 1 << 20, &bytes);

	if (r < 0)
		return r;
	*ret_mib = (uint32_t)(bytes >> 20);
	return bytes % (1 << 20) ? -EDOM : 0;
}

static int parse_rate(const char *s, conker_rate *ret)
{
	const char *ops = strchr(s, ':');
	size_t len = ops ? (size_t)(ops - s) : strlen(s);
	conker_rate rate = {0, 0};
	char bytes[32];
	int r = 0;

	if (len >= sizeof(bytes) || !*s || (ops && !ops[1]))
		return -EINVAL;
	memcpy(bytes, s, len);
	bytes[len] = 0;
	if (strcmp(bytes, "0") == 0)
		rate.bytes_per_s = CONKER_NO_LIMIT;
	else if (len)
		r = parse_bytes(bytes, 1, &rate.bytes_per_s);
	if (r == 0 && rate.bytes_per_s != CONKER_NO_LIMIT && rate.bytes_per_s > CONKER_RATE_MAX)
		r = -ERANGE;
	if (r == 0 && ops)
		r = parse_number(ops + 1, UINT32_MAX, &rate.ops_per_s);
	if (ops && !rate.ops_per_s)
		rate.ops_per_s = CONKER_NO_LIMIT;
	*ret = rate;
	return r;
}

static int parse_cpus(const char *s, uint32_t *ret_permille)
{
	double v;

	if (num_fraction(s, strlen(s), &v) < 0 || v < 0.01)
		return -EINVAL;
	if (v > 1000)
		return -ERANGE;
	*ret_permille = (uint32_t)(v * 1000 + 0.5);
	return 0;
}

static int parse_port(const char *s, struct ports *ret)
{
	uint64_t v;

	if (ret->n == countof(ret->v) || parse_number(s, UINT16_MAX, &v) < 0 || !v)
		return -EINVAL;
	ret->v[ret->n++] = (uint16_t)v;
	return 0;
}

static int parse_offsets(const char *s, struct offsets *ret)
{
	const char *end = strchrnul(s, ':');

	int r = num_parse(s, (size_t)(end - s), 10, UINT64_MAX, &ret->out);

	ret->given = 1;
	if (r < 0)
		return r;
	if (*end)
		return parse_number(end + 1, UINT64_MAX, &ret->err);
	ret->err = ret->out;
	return 0;
}

/* ---- names --------------------------------------------------------------------------------------- */

/* A number that is too large is no number of any, and then no name either. */
conker_exec_ref exec_ref_of(const char *s)
{
	static const char key[] = "key:";
	uint64_t id;

	if (strncmp(s, key, sizeof(key) - 1) == 0)
		return (conker_exec_ref){.key = s + sizeof(key) - 1};
	if (parse_number(s, UINT64_MAX, &id) == 0 && id > 0)
		return (conker_exec_ref){.id = id};
	return (conker_exec_ref){.name = s};
}

static int parse_signal(const char *s, int *ret)
{
	uint32_t v;

	if (parse_uint(s, &v) == 0) {
		*ret = (int)v;
		return v <= 64 ? 0 : -EINVAL;
	}
	*ret = signame_number(s);
	return *ret < 0 ? *ret : 0;
}

static int parse_restart(const char *s, struct restart_arg *ret)
{
	static const char *const names[] = {[CONKER_RESTART_NEVER] = "never",
					    [CONKER_RESTART_ON_FAILURE] = "on-failure",
					    [CONKER_RESTART_ALWAYS] = "always"};
	size_t len = strcspn(s, ":");

	for (size_t i = 0; i < countof(names); i++) {
		if (strlen(names[i]) != len || strncmp(names[i], s, len) != 0)
			continue;
		*ret = (struct restart_arg){.policy = (enum conker_restart)i};
		if (!s[len])
			return 0;
		return i == CONKER_RESTART_NEVER ? -EINVAL : parse_uint(s + len + 1, &ret->max);
	}
	return -EINVAL;
}

static int parse_limit(const char *s, const char *end, uint64_t *ret)
{
	static const char unlimited[] = "unlimited";

	if ((size_t)(end - s) == strlen(unlimited) &&
	    strncmp(s, unlimited, strlen(unlimited)) == 0) {
		*ret = CONKER_UNLIMITED;
		return 0;
	}
	return num_parse(s, (size_t)(end - s), 10, UINT64_MAX, ret);
}

static int rlimit_by_name(const char *s, size_t len)
{
	static const struct {
		const char *name;
		int resource;
	} names[] = {
		{"as", RLIMIT_AS},
		{"core", RLIMIT_CORE},
		{"cpu", RLIMIT_CPU},
		{"data", RLIMIT_DATA},
		{"fsize", RLIMIT_FSIZE},
		{"memlock", RLIMIT_MEMLOCK},
		{"msgqueue", RLIMIT_MSGQUEUE},
		{"nice", RLIMIT_NICE},
		{"nofile", RLIMIT_NOFILE},
		{"nproc", RLIMIT_NPROC},
		{"rss", RLIMIT_RSS},
		{"rtprio", RLIMIT_RTPRIO},
		{"rttime", RLIMIT_RTTIME},
		{"sigpending", RLIMIT_SIGPENDING},
		{"stack", RLIMIT_STACK},
	};

	for (size_t i = 0; i < countof(names); i++)
		if (strlen(names[i].name) == len && strncmp(names[i].name, s, len) == 0)
			return names[i].resource;
	return -EINVAL;
}

static int parse_rlimit(const char *s, struct rlimits *ret)
{
	const char *value = strchrnul(s, '='), *colon = strchrnul(value, ':');
	conker_rlimit l = {.resource = rlimit_by_name(s, (size_t)(value - s))};

	if (ret->n == countof(ret->v) || !*value || value == s)
		return -EINVAL;
	if (l.resource < 0)
		return -ENOENT;
	int r = parse_limit(value + 1, colon, &l.soft);
	l.hard = l.soft;
	if (r == 0 && *colon)
		r = parse_limit(colon + 1, colon + strlen(colon), &l.hard);
	if (r < 0 || l.soft > l.hard)
		return r < 0 ? r : -EINVAL;
	ret->v[ret->n++] = l;
	return 0;
}

/* ---- keys ---------------------------------------------------------------------------------------- */

/* "ctrl-x" or one character. */
static int parse_key(const char *s, size_t len, unsigned char *ret)
{
	if (len == 1) {
		*ret = (unsigned char)s[0];
		return 0;
	}
	if (len != 6 || strncmp(s, "ctrl-", 5) != 0 ||
	    !strchr("abcdefghijklmnopqrstuvwxyz@[\\]^_", s[5]))
		return -EINVAL;
	*ret = s[5] & 0x1f;
	return 0;
}

static int parse_keys(const char *s, struct keys *ret)
{
	*ret = (struct keys){0};
	while (*s) {
		size_t len = strcspn(s, ",");

		if (ret->n == countof(ret->v) || parse_key(s, len, &ret->v[ret->n++]) < 0)
			return -EINVAL;
		s += len;
		if (*s && !*++s)
			return -EINVAL; /* a comma at the end */
	}
	return 0;
}

/* What is held is always the beginning of the keys; a byte that breaks that lets out as much as it must. */
static int key(struct keys *k, unsigned char c, char *out, size_t *n)
{
	k->held[k->n_held++] = c;
	while (k->n_held > 0 && memcmp(k->held, k->v, k->n_held) != 0) {
		out[(*n)++] = (char)k->held[0];
		memmove(k->held, k->held + 1, --k->n_held);
	}
	return k->n_held == k->n;
}

int keys_typed(struct keys *k, const char *data, size_t len, char *out, size_t *ret_len)
{
	int found = 0;

	*ret_len = 0;
	for (size_t i = 0; i < len && !found; i++) {
		if (k->n > 0)
			found = key(k, (unsigned char)data[i], out, ret_len);
		else
			out[(*ret_len)++] = data[i];
	}
	return found;
}

/* ---- by kind ------------------------------------------------------------------------------------- */

int value_parse(enum opt_kind kind, const char *s, void *ret)
{
	switch (kind) {
	case OPT_FLAG: break;
	case OPT_STRING: *(const char **)ret = s; return *s ? 0 : -ENODATA;
	case OPT_TEXT: *(const char **)ret = s; return 0;
	case OPT_UINT: return parse_uint(s, ret);
	case OPT_SECONDS: return parse_seconds(s, ret);
	case OPT_AGE: return parse_age(s, ret);
	case OPT_TIMEOUT: return parse_timeout(s, ret);
	case OPT_LIST: return *s ? strings_add(ret, s) : -ENODATA;
	case OPT_SIGNAL: return parse_signal(s, ret);
	case OPT_BYTES: return parse_bytes(s, 1, ret);
	case OPT_MIB: return parse_bytes(s, 1 << 20, ret);
	case OPT_MEMORY: return parse_memory(s, ret);
	case OPT_CPUS: return parse_cpus(s, ret);
	case OPT_RESTART: return parse_restart(s, ret);
	case OPT_RLIMIT: return parse_rlimit(s, ret);
	case OPT_PORT: return parse_port(s, ret);
	case OPT_OFFSETS: return parse_offsets(s, ret);
	case OPT_KEYS: return parse_keys(s, ret);
	case OPT_RATE: return parse_rate(s, ret);
	}
	return -EINVAL;
}

const char *value_expected(enum opt_kind kind)
{
	switch (kind) {
	case OPT_UINT: return "a whole number above zero";
	case OPT_SECONDS: return "seconds, above zero";
	case OPT_AGE: return "a time, as 90s, 12h, 7d or 2w";
	case OPT_TIMEOUT: return "seconds, or 0 for none";
	case OPT_SIGNAL: return "a signal's name or number, as TERM, RTMIN+3 or 15";
	case OPT_BYTES: return "a size in bytes, or with K, M or G";
	case OPT_MIB:
	case OPT_MEMORY: return "a size in MiB, or with K, M or G";
	case OPT_CPUS: return "a number of CPUs, as 0.5 or 2";
	case OPT_RESTART: return "never, on-failure[:MAX] or always[:MAX]";
	case OPT_RLIMIT: return "NAME=SOFT[:HARD], as nofile=1024 or core=unlimited";
	case OPT_PORT: return "a port (1 to 65535, at most 32 of them)";
	case OPT_OFFSETS: return "OFFSET[:STDERR_OFFSET]";
	case OPT_KEYS: return "keys, as ctrl-p,ctrl-q";
	case OPT_RATE: return "BYTES[:OPERATIONS] a second, as 20M or 1G:5000; 0: no limit";
	case OPT_FLAG:
	case OPT_STRING:
	case OPT_TEXT:
	case OPT_LIST: break;
	}
	return "a value";
}

const char *value_wrong(int r)
{
	switch (-r) {
	case ERANGE: return "is too large";
	case ENODATA: return "is empty";
	case EDOM: return "is not a whole number of MiB";
	case ENOENT:
		return "is of no limit that there is: as, core, cpu, data, fsize, memlock, "
		       "msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack";
	default: return "needs memory that there is not";
	}
}
