/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 that exits, which the kernel answers with a panic. */
int main(void)
{
	return 7;
}
