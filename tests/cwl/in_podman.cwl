cwlVersion: v1.2
class: CommandLineTool
doc: Writes its file and one of the image into its output, then waits.
baseCommand: [sh, -c, 'cat "$0"; echo -n ", "; cat /in-the-image; sleep "$1"']
requirements:
  DockerRequirement: {dockerPull: "localhost/wes-daemon-test:1"}
inputs:
  text: {type: File, inputBinding: {position: 1}}
  seconds: {type: int, inputBinding: {position: 2}}
outputs:
  copy: {type: stdout}
