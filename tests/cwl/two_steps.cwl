cwlVersion: v1.2
class: Workflow
inputs:
  message: string
outputs:
  shouted: {type: File, outputSource: shout/shouted}
steps:
  say:
    run: echo.cwl
    in: {message: message}
    out: [said]
  shout:
    run: shout.cwl
    in: {text: say/said}
    out: [shouted]
