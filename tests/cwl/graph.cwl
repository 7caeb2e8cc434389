cwlVersion: v1.2
$graph:
  - id: main
    class: Workflow
    inputs:
      first: string
    outputs: {}
    steps: []
  - id: other
    class: CommandLineTool
    baseCommand: ["true"]
    inputs:
      min_quality: {type: int, default: 20}
      depth: int?
    outputs: {}
