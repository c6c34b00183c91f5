"""Scripts with which shells complete a program's command lines."""

from __future__ import annotations

SHELLS = ("bash", "zsh", "fish")

_SCRIPTS = {
    "bash": """\
_PROGRAM() {
    local words
    words=$(PROGRAM completion words "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null)
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _PROGRAM PROGRAM
""",
    # It may be evaluated, or be the file that zsh loads as the function when it is first called.
    "zsh": """\
#compdef PROGRAM
_PROGRAM() {
    local -a words_found
    words_found=("${(@f)$(PROGRAM completion words $((CURRENT - 1)) "${words[@]}" 2>/dev/null)}")
    compadd -- "${words_found[@]}" || _files
}
if [ "$funcstack[1]" = _PROGRAM ]; then
    _PROGRAM "$@"
else
    compdef _PROGRAM PROGRAM
fi
""",
    "fish": """\
function __PROGRAM_words
    set -l words (commandline -opc) (commandline -ct)
    PROGRAM completion words (math (count $words) - 1) $words 2>/dev/null
end
complete -c PROGRAM -f -a '(__PROGRAM_words)'
""",
}


def completion_script(shell: str, program: str) -> str:
    """The script that makes the shell complete the program.

    It asks the program: `completion words`, then the number of the word to complete and all words.
    """
    return _SCRIPTS[shell].replace("PROGRAM", program)
