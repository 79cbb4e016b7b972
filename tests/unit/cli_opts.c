/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of option parsing, of what an output descriptor is promised, and of text for programs. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "tests/lib/test.h"
#include "tools/cli/cli.h"

struct values {
	int flag, other, signo;
	const char *string;
	uint32_t number, ms;
	struct strings list;
};

static const struct opt table[] = {
	{"flag", 'f', OPT_FLAG, offsetof(struct values, flag), NULL, "a flag"},
	{"other", 'o', OPT_FLAG, offsetof(struct values, other), NULL, "another"},
	{"string", 's', OPT_STRING, offsetof(struct values, string), "TEXT", "a string"},
	{"number", 'n', OPT_UINT, offsetof(struct values, number), "N", "a number"},
	{"time", 0, OPT_SECONDS, offsetof(struct values, ms), "SECONDS", "a time"},
	{"list", 'l', OPT_LIST, offsetof(struct values, list), "ITEM", "again and again"},
	{"signal", 0, OPT_SIGNAL, offsetof(struct values, signo), "SIGNAL", "a signal"},
};

static struct values v;
static char *args[16];
static int status;

/* Parses words separated by blanks; "~" stands for an empty word. */
static int parse(const char *line, int command_after)
{
	static char words[256];
	const struct cli c = {.command = "test"};
	const struct usage u = {
		.operands = "[OPTIONS] A",
		.group = {{table, countof(table), &v}},
		.operands_max = 3,
		.command_after = command_after,
	};
	int n = 0;

	(void)snprintf(words, sizeof(words), "%s", line);
	for (char *w, *rest = words; (w = strsep(&rest, " "));)
		args[n++] = strcmp(w, "~") == 0 ? w + 1 : w;
	memset(&v, 0, sizeof(v));
	return opts_parse(&c, &u, n, args, &status);
}

static void setup(void)
{
	cr_redirect_stdout();
	cr_redirect_stderr();
}
TestSuite(cli_opts, .init = setup);

Test(cli_opts, takes_options_before_between_and_after_operands)
{
	cr_assert_eq(parse("-f one --string x two -n 7", -1), 2);
	cr_assert_str_eq(args[0], "one");
	cr_assert_str_eq(args[1], "two");
	cr_assert_null(args[2]);
	cr_assert(v.flag && v.number == 7);
	cr_assert_str_eq(v.string, "x");
}

Test(cli_opts, leaves_a_commands_own_options_alone)
{
	cr_assert_eq(parse("-f ls -o --nonsense", 0), 3);
	cr_assert(v.flag && !v.other);
	cr_assert_str_eq(args[1], "-o");
	cr_assert_eq(parse("box -f ls -o", 1), 3);
	cr_assert(v.flag && !v.other);
}

Test(cli_opts, takes_everything_after_two_dashes_as_it_is)
{
	cr_assert_eq(parse("-f -- -o -- x", 0), 3);
	cr_assert(!v.other);
	cr_assert_str_eq(args[0], "-o");
	cr_assert_str_eq(args[1], "--");
}

Test(cli_opts, knows_each_way_to_write_a_value)
{
	cr_assert_eq(parse("--number=5 -sabc --time 1.5 -fol one --list=two", -1), 0);
	cr_assert(v.number == 5 && v.ms == 1500 && v.flag && v.other);
	cr_assert_str_eq(v.string, "abc");
	cr_assert_eq(v.list.n, 2);
	cr_assert_str_eq(v.list.v[0], "one");
	cr_assert_str_eq(v.list.v[1], "two");
	cr_assert_null(v.list.v[2]);
}

Test(cli_opts, reads_signals_by_name_and_number)
{
	static const struct {
		const char *line;
		int signo;
	} good[] = {{"--signal 9", 9},           {"--signal TERM", 15},    {"--signal sigusr1", 10},
		    {"--signal SIGRTMIN+3", 37}, {"--signal rtmax-1", 63}, {"--signal 64", 64}};

	for (size_t i = 0; i < countof(good); i++) {
		cr_assert_eq(parse(good[i].line, -1), 0, "%s", good[i].line);
		cr_assert_eq(v.signo, good[i].signo);
	}
}

Test(cli_opts, refuses_what_it_does_not_understand)
{
	static const char *const bad[] = {
		"--nonsense",
		"-x",
		"-fx",
		"--flag=1",
		"--string",
		"-s",
		"--string ~", /* --user "$UNSET" is not root */
		"--string=",
		"-s ~",
		"--list ~",
		"--number 0",
		"--number -1",
		"--number 1x",
		"--number ~",
		"--number 4294967296",
		"--number 99999999999999999999",
		"--time 0",
		"--time -1",
		"--time nan",
		"--time inf",
		"--time 1e9",
		"--time x",
		"--signal 0",
		"--signal 65",
		"--signal NOPE",
		"--signal RTMIN+31",
		"--fla",
		"a b c d",
	};

	for (size_t i = 0; i < countof(bad); i++) {
		cr_assert_eq(parse(bad[i], -1), -1, "%s", bad[i]);
		cr_assert_eq(status, EXIT_CONKER, "%s", bad[i]);
	}
}

Test(cli_opts, a_single_dash_is_an_operand)
{
	cr_assert_eq(parse("name -", -1), 2);
	cr_assert_str_eq(args[1], "-");
}

Test(cli_opts, help_is_no_error)
{
	cr_assert_eq(parse("--nonsense-is-not-reached --help", 0), -1);
	cr_assert_eq(status, EXIT_CONKER);
	cr_assert_eq(parse("-f --help --nonsense", -1), -1);
	cr_assert_eq(status, 0);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void json_is(const char *in, const char *out)
{
	json_string(in);
	fflush(stdout);
	cr_assert_stdout_eq_str(out);
}

Test(cli_json, escapes_what_must_be, .init = setup)
{
	json_is("a\"b\\c\n\x1b[m", "\"a\\\"b\\\\c\\u000a\\u001b[m\"");
}

Test(cli_json, keeps_well_formed_utf8_and_replaces_the_rest, .init = setup)
{
	json_is("\xc3\xa4\xf0\x9f\x98\x80|\xc3|\xed\xa0\x80|\xc0\xaf|\xff",
		"\"\xc3\xa4\xf0\x9f\x98\x80|\\ufffd|\\ufffd\\ufffd\\ufffd|\\ufffd\\ufffd|"
		"\\ufffd\"");
}

Test(cli_json, names_controls_of_two_bytes_too, .init = setup)
{
	json_is("\xc2\x9b\x31m\xc2\xa0\x7f", "\"\\u009b1m\xc2\xa0\\u007f\"");
}

Test(cli_text, of_anybody_cannot_steer_the_terminal_in_a_message, .init = setup)
{
	const struct cli c = {.command = "test"};

	cr_assert_eq(fail("no box '%s'", "x\x1b[31m\nconker: all is well\xc2\x9b"), EXIT_CONKER);
	cr_assert_eq(fail_usage(&c, "'%s' is too much", "\x9b"), EXIT_CONKER);
	note("%s", "\r");
	fflush(stderr);
	cr_assert_stderr_eq_str("conker: no box 'x?[31m?conker: all is well?"
				"?'\n"
				"conker: test: '?' is too much (see 'conker test --help')\n"
				"conker: ?\n");
}

Test(cli_text, of_a_column_is_padded_by_characters, .init = setup)
{
	print_column("\xc3\xa4\x1b", 4);
	print_column("long", 2);
	print_clean_line("|a\tb\n", 5);
	fflush(stdout);
	cr_assert_stdout_eq_str("\xc3\xa4?  long|a\tb?");
}

Test(cli_text, longer_than_a_piece_is_not_cut_inside_a_character, .init = setup)
{
	static char s[3001], want[3001];

	for (int i = 0; i < 1000; i++)
		memcpy(s + 3 * i, "\xe2\x82\xac", 3);
	memcpy(want, s, sizeof(s));
	print_clean(s);
	fflush(stdout);
	cr_assert_stdout_eq_str(want);
}

Test(cli_text, of_a_guest_cannot_steer_the_terminal, .init = setup)
{
	print_clean("a\x1b[2Jb\rc\n\x7f");
	fflush(stdout);
	cr_assert_stdout_eq_str("a?[2Jb?c??");
}
