# SPDX-License-Identifier: Apache-2.0
# conker.bash - completion for bash. Options come from `conker COMMAND --help`, names from `--json`.

_conker_names() { # of boxes or images: the "name" of each object
	conker "$@" --json 2>/dev/null | sed -n 's/.*{"name":"\([^"]*\)".*/\1/p'
}

_conker_execs() { # of a box: the number and the name of each
	conker ps --all --json "$1" 2>/dev/null | sed -n 's/.*{"id":\([0-9]*\),"name":"\([^"]*\)".*/\1 \2/p'
}

_conker_box() { # the first operand so far, as far as one can tell without knowing each option
	local i names=" $(_conker_names ls --all | tr '\n' ' ') "

	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ $names != *" ${COMP_WORDS[i]} "* ]] || { printf '%s\n' "${COMP_WORDS[i]}"; return; }
	done
}

_conker() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words
	local i box

	for ((i = 2; i < COMP_CWORD; i++)); do
		[ "${COMP_WORDS[i]}" != -- ] || return # the command's own
	done
	if [ "$COMP_CWORD" = 1 ]; then
		words=$(conker help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')
	elif [ "$prev" = --image ]; then
		words=$(_conker_names image ls)
	elif [ "$prev" = --restart ]; then
		words='never on-failure always'
	elif [ "$prev" = --series ]; then
		words='cold memory peers restore exec setup stream blk rate'
	elif [ "$command" = bench ] && [[ $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [[ " --kernel --disk --env-file --from " == *" $prev "* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [ "$command" = fs ] && [ "$COMP_CWORD" = 2 ]; then
		words='ls stat cat write rm mkdir mv watch'
	elif [ "$command" = fs ] && [[ $cur == -* ]]; then
		words=$(conker fs "${COMP_WORDS[2]}" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)
	elif [ "$command" = template ] && [ "$COMP_CWORD" = 2 ]; then
		words='ls rm'
	elif [ "$command" = template ] && [[ $cur == -* ]]; then
		words=$(conker template "${COMP_WORDS[2]}" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)
	elif [ "$command" = template ]; then
		words=$(_conker_names template ls)
	elif [ "$command" = image ] && [[ $cur == -* ]]; then
		words=$(conker image "${COMP_WORDS[2]}" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)
	elif [[ $cur == -* ]]; then
		words=$(conker "$command" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)
	elif [ "$command" = image ] && [ "$COMP_CWORD" = 2 ]; then
		words='pull import ls inspect tag rm df prune'
	elif [ "$command" = image ] && [[ " inspect tag rm pull " == *" ${COMP_WORDS[2]} "* ]]; then
		words=$(_conker_names image ls)
	elif [ "$command" = image ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [[ " attach forget info kill logs wait " == *" $command "* ]] && box=$(_conker_box) && [ -n "$box" ]; then
		words=$(_conker_execs "$box")
	elif [[ " attach exec forget forward fs info kill logs ps resume rm shell stats stop suspend wait " == *" $command "* ]]; then
		words=$(_conker_names ls --all)
	elif [[ " snapshot fork " == *" $command "* && -z $(_conker_box) ]]; then
		mapfile -t COMPREPLY < <(compgen -d -W "$(_conker_names ls)" -- "$cur")
		return
	elif [[ " snapshot restore " == *" $command "* ]]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
	elif [ "$command" = cp ]; then
		words=$(_conker_names ls | sed 's/$/:/')
		mapfile -t COMPREPLY < <(compgen -f -W "$words" -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _conker conker
