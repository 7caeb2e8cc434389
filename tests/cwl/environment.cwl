cwlVersion: v1.2
class: CommandLineTool
baseCommand: env
inputs: {}
outputs:
  variables: {type: stdout}
stdout: variables.txt
