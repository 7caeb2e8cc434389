cwlVersion: v1.2
class: CommandLineTool
doc: Turns a file's letters into capitals.
baseCommand: [tr, a-z, A-Z]
inputs:
  text: {type: File}
outputs:
  shouted: {type: stdout}
stdin: $(inputs.text.path)
stdout: shouted.txt
