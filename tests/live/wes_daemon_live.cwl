cwlVersion: v1.2
class: CommandLineTool
label: wes-daemon live tests
doc: Waits for so many seconds, writes a line, and ends with the exit code that it is told.
requirements:
  DockerRequirement: {dockerPull: "ubuntu:24.04"}
  ResourceRequirement: {coresMin: 1, ramMin: 1000}
baseCommand: [sh, -c, 'sleep "$0"; echo "waited $0 s" > answer.txt; exit "$1"']
inputs:
  seconds: {type: int, inputBinding: {position: 1}}
  code: {type: int, inputBinding: {position: 2}}
outputs:
  answer: {type: File, outputBinding: {glob: answer.txt}}
