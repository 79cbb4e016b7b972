/* term.c - the terminal around an interactive command. */
#include "tools/cli/cli.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct term {
	struct termios before;
};

struct term *term_raw(void)
{
	struct termios raw;
	struct term *t;

	if (!isatty(STDIN_FILENO))
		return NULL;
	t = malloc(sizeof(*t));
	if (!t || tcgetattr(STDIN_FILENO, &t->before) < 0) {
		free(t);
		return NULL;
	}
	raw = t->before;
	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	return t;
}

struct term *term_restore(struct term *t)
{
	if (t)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
	free(t);
	return NULL;
}

void term_size(uint16_t *rows, uint16_t *cols)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		struct winsize w;

		if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col) {
			*rows = w.ws_row;
			*cols = w.ws_col;
			return;
		}
	}
}
