cwlVersion: v1.2
class: Workflow
inputs: {}
outputs:
  said: {type: File, outputSource: say/said}
steps:
  say:
    run: echo.cwl
    in: {}
    out: [said]
  break:
    run: fail.cwl
    in: {}
    out: []
