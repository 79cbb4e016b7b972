# conker.bash - completion for bash. Options come from `conker COMMAND --help`, names from `--json`.

_conker_names() { # of boxes or images: the "name" of each object
	conker "$@" --json 2>/dev/null | sed -n 's/.*{"name":"\([^"]*\)".*/\1/p'
}

_conker() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words
	local i

	for ((i = 2; i < COMP_CWORD; i++)); do
		[ "${COMP_WORDS[i]}" != -- ] || return # the command's own
	done
	if [ "$COMP_CWORD" = 1 ]; then
		words=$(conker help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')
	elif [ "$prev" = --image ]; then
		words=$(_conker_names image ls)
	elif [ "$prev" = --kernel ] || [ "$prev" = --disk ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [[ $cur == -* ]]; then
		words=$(conker "$command" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)
	elif [ "$command" = image ] && [ "$COMP_CWORD" = 2 ]; then
		words='import ls rm'
	elif [ "$command" = image ] && [ "${COMP_WORDS[2]}" = rm ]; then
		words=$(_conker_names image ls)
	elif [ "$command" = image ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [[ " exec shell info ps kill logs stop rm " == *" $command "* ]]; then
		words=$(_conker_names ls --all)
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _conker conker
