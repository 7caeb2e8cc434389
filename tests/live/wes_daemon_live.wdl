version 1.0

# Waits for so many seconds, writes a line, and ends with the exit code that it is told.
workflow wes_daemon_live {
    input {
        Int seconds
        Int code
    }
    call wait_and_end { input: seconds = seconds, code = code }
    output {
        File answer = wait_and_end.answer
    }
}

task wait_and_end {
    input {
        Int seconds
        Int code
    }
    command <<<
        sleep ~{seconds}
        echo "waited ~{seconds} s" > answer.txt
        exit ~{code}
    >>>
    output {
        File answer = "answer.txt"
    }
    runtime {
        docker: "IMAGE"
        cpu: 2
        memory: "4 GiB"
    }
}
