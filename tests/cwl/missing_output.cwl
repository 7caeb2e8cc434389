cwlVersion: v1.2
class: CommandLineTool
baseCommand: 'true'
inputs: {}
outputs:
  report: {type: File, outputBinding: {glob: report.txt}}
