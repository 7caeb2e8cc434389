cwlVersion: v1.2
class: CommandLineTool
doc: Says a message into a file, and something else on stderr that no output declares.
baseCommand: [sh, -c, 'echo "$0"; echo "said it" >&2']
inputs:
  message:
    type: string
    default: hello
    inputBinding: {position: 1}
outputs:
  said: {type: stdout}
stdout: said.txt
