cwlVersion: v1.2
class: CommandLineTool
doc: Returns its text as it was given, and a copy of its file whose name contains the file's name.
baseCommand: cat
inputs:
  message: string
  text: {type: File, inputBinding: {position: 1}}
outputs:
  said: {type: string, outputBinding: {outputEval: $(inputs.message)}}
  copy: {type: stdout}
stdout: copy of $(inputs.text.basename)
