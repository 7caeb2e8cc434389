cwlVersion: v1.2
class: CommandLineTool
doc: Cannot run without a container.
baseCommand: "true"
requirements:
  DockerRequirement: {dockerPull: "docker.io/library/busybox:1"}
inputs: {}
outputs: {}
